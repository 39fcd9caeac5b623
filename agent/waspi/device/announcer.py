"""What the device says of itself: presence, reported state, sync, changes of a job's state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from waspi import __version__
from waspi.device.catalog import Catalog
from waspi.device.clock import Clock
from waspi.device.outbox import Outbox
from waspi.device.settings import Config, StatusReports
from waspi.errors import EnvelopeError, StorageError
from waspi.journal.journal import Journal
from waspi.journal.rows import JobRow
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming, Outgoing
from waspi.mqtt.settings import Will
from waspi.protocol.policy import Policy
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import LastJob, Reported, encode_reported
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.status import StatusChange, encode_status
from waspi.protocol.sync import MAX_LISTED, SyncReport, answer, decode_sync_query, encode_sync_report

if TYPE_CHECKING:
    from waspi.updates.service import Updates

_JSON = "application/json"

_log = logging.getLogger(__name__)


class Announcer:
    """Publishes retained presence and reported state, and answers what is known of jobs."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        catalog: Catalog,
        journal: Journal,
        clock: Clock,
        boot: str,
        posture: Callable[[], Mapping[str, str]],
        engine: Callable[[], str],
        arch: str,
    ) -> None:
        self._config = config
        self._policy = policy
        self._catalog = catalog
        self._journal = journal
        self._clock = clock
        self._boot = boot
        self._posture = posture
        self._engine = engine
        self._arch = arch
        self._outbox: Outbox | None = None
        self._since = int(clock.now())
        self._troubles: dict[str, str] = {}
        self._rejected = 0
        self._told = b""
        self._slow: dict[str, tuple[float, JobRow, JobState]] = {}
        self.updates: Updates | None = None
        """Who knows of deployed modules."""

    def attach(self, outbox: Outbox) -> None:
        """Hand over the outbox, which needs the link, which needs :meth:`will`."""
        self._outbox = outbox

    def will(self, delay_s: int) -> Will:
        """What the broker says for a device that is gone."""
        return Will(self._policy.topics.presence(self._config.id), self._presence(PresenceState.OFFLINE), True, delay_s)

    def offline(self) -> Outgoing:
        """The last word before a clean end."""
        payload = self._presence(PresenceState.OFFLINE)
        return Outgoing(self._policy.topics.presence(self._config.id), payload, retain=True, content_type=_JSON)

    def on_online(self) -> None:
        """Say who is here and which jobs are known."""
        self._since = int(self._clock.now())
        self._told = b""
        self.presence()
        self.report()
        self._sync()

    def on_refused(self, state: JobState) -> None:
        """A job was refused before the journal had it; counted since this start, or strangers could wear the disk."""
        self._rejected += state is JobState.REJECTED

    def presence(self) -> None:
        """Say that the device is online, and how well."""
        topic = self._policy.topics.presence(self._config.id)
        self._say(Outgoing(topic, self._presence(PresenceState.ONLINE), retain=True, content_type=_JSON))

    def degraded(self, what: str, trouble: StorageError | None) -> None:
        """The disk refuses what ``what`` names, or takes it again: told once, and in presence while it lasts."""
        if trouble is not None:
            _log.error("no jobs are taken for now: %s", trouble.message)
            self._troubles[what] = trouble.message
        elif self._troubles.pop(what, None) is not None and not self._troubles:
            _log.warning("the disk takes writes again; jobs are taken")
        self.presence()

    def report(self) -> None:
        """Publish reported state if it changed."""
        counters = self._journal.counters
        modules = self._catalog.reported()
        payload = encode_reported(
            Reported(
                version=__version__,
                engine=self._engine(),
                arch=self._arch,
                boot=self._boot,
                sandbox=self._posture(),
                modules=self.updates.reported(modules) if self.updates is not None else modules,
                deployments=self.updates.serials if self.updates is not None else {},
                limits=self._config.limits,
                groups=self._config.groups,
                labels=self._config.labels,
                counters={
                    "boots": counters.boots,
                    "received": counters.received,
                    "succeeded": counters.succeeded,
                    "failed": counters.failed,
                    "timed-out": counters.timed_out,
                    "rejected": counters.rejected + self._rejected,
                    "canceled": counters.canceled,
                    "expired": counters.expired,
                },
                last_job=self._last_job(),
                clock_unset=not self._clock.plausible,
                updates=self.updates.trouble if self.updates is not None else "",
            )
        )
        if payload != self._told:
            self._told = payload
            topic = self._policy.topics.reported(self._config.id)
            self._say(Outgoing(topic, payload, retain=True, content_type=_JSON))

    def on_query(self, message: Incoming) -> None:
        """Answer which of some jobs are known."""
        try:
            asked = decode_sync_query(message.payload)
            topic = self._policy.topics.sync(self._config.id)
            if message.reply_to is not None:
                topic = self._policy.replies.check(message.reply_to)
        except EnvelopeError as error:
            _log.warning("a sync query is dropped: %s", error.message)
            return
        rows = (self._journal.reader.job(job_id) for job_id in asked)
        known = {row.id: row.state for row in rows if row is not None}
        payload = encode_sync_report(answer(asked, known, device=self._config.id, boot=self._boot))
        self._say(Outgoing(topic, payload, content_type=CONTENT_TYPE, correlation=message.correlation))

    # --- states of jobs -----------------------------------------------------------------------------------------------

    def on_change(self, row: JobRow, state: JobState) -> None:
        """A job came into a state that is not its last."""
        if self._config.status is StatusReports.NONE or row.plain:
            return
        if self._config.status is StatusReports.ALL:
            self._status(row, state)
        else:
            due = self._clock.monotonic() + self._config.slow_after_ms / 1000
            before = self._slow.pop(row.id, None)
            self._slow[row.id] = (due if before is None else before[0], row, state)

    def on_end(self, job_id: str) -> None:
        """A job is at its end; its result says so."""
        self._slow.pop(job_id, None)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        return next(iter(self._slow.values()))[0] if self._slow else None

    def tick(self, now: float) -> None:
        """Tell the states of jobs that take long."""
        while self._slow:
            job_id, (due, row, state) = next(iter(self._slow.items()))
            if due > now:
                return
            del self._slow[job_id]
            self._status(row, state)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _status(self, row: JobRow, state: JobState) -> None:
        at = int(self._clock.now() * 1000)
        payload = encode_status(StatusChange(row.id, self._config.id, state, row.attempt, at))
        self._say(Outgoing(self._policy.topics.status(self._config.id, row.id), payload, content_type=CONTENT_TYPE))

    def _last_job(self) -> LastJob | None:
        rows = self._journal.reader.recent(1)
        return LastJob(rows[0].id, rows[0].state, int(rows[0].received_at)) if rows else None

    def _sync(self) -> None:
        rows = self._journal.reader.recent(MAX_LISTED + 1)
        listed = {row.id: row.state for row in rows[:MAX_LISTED]}
        report = SyncReport(self._config.id, self._boot, listed, complete=len(rows) <= MAX_LISTED)
        topic = self._policy.topics.sync(self._config.id)
        self._say(Outgoing(topic, encode_sync_report(report), content_type=CONTENT_TYPE))

    def _presence(self, state: PresenceState) -> bytes:
        return encode_presence(Presence(state, self._boot, self._since, next(iter(self._troubles.values()), "")))

    def _say(self, message: Outgoing) -> None:
        if self._outbox is not None:
            self._outbox.say(message)
