"""What the device says of itself: presence, reported state, changes of a job's state."""

from __future__ import annotations

import logging
import platform
from typing import TYPE_CHECKING

from waspi import __version__
from waspi.device.catalog import Catalog
from waspi.device.clock import Clock
from waspi.device.outbox import Outbox
from waspi.device.settings import Config, StatusReports
from waspi.errors import StorageError
from waspi.journal.journal import Journal
from waspi.model.state import JobState
from waspi.mqtt.message import Outgoing
from waspi.protocol.policy import Policy
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import LastJob, MessageLimits, Reported, encode_reported
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.status import StatusChange, encode_status
from waspi.protocol.topics import Topics
from waspi.sandbox.pool import Pool

if TYPE_CHECKING:
    from waspi.device.job import Job
    from waspi.updates.service import Updates

_JSON = "application/json"

_log = logging.getLogger(__name__)


class Announcer:
    """Publishes retained presence and reported state, and states of jobs that take long."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        catalog: Catalog,
        journal: Journal,
        pool: Pool,
        outbox: Outbox,
        updates: Updates | None,
        clock: Clock,
        boot: str,
    ) -> None:
        """``updates`` knows of deployed modules."""
        self._config = config
        self._policy = policy
        self._catalog = catalog
        self._journal = journal
        self._pool = pool
        self._outbox = outbox
        self._updates = updates
        self._clock = clock
        self._boot = boot
        self._arch = f"{platform.machine()}-{platform.system().lower()}"
        self._since = int(clock.now())
        self._troubles: dict[str, str] = {}
        self._rejected = 0
        self._told = b""
        self._slow: dict[str, tuple[float, JobState, int]] = {}
        """Of jobs that may take long: when to tell their state, the state, and the attempt."""

    def offline(self) -> Outgoing:
        """The last word before a clean end, with the time at which the device leaves."""
        return offline_word(self._config, self._policy.topics, self._boot, int(self._clock.now()))

    def state(self) -> tuple[bytes, bytes]:
        """Presence and reported state, as they are published."""
        if not self._told:
            self.report()
        return self._presence(PresenceState.ONLINE), self._told

    def on_online(self) -> None:
        """Say who is here and which jobs are known."""
        self._since = int(self._clock.now())
        self._told = b""
        self.presence()
        self.report()

    def on_refused(self, state: JobState) -> None:
        """A job was refused before the journal had it; counted since this start, or strangers could wear the disk."""
        self._rejected += state is JobState.REJECTED

    def presence(self) -> None:
        """Say that the device is online, and how well."""
        topic = self._policy.topics.presence(self._config.id)
        self._outbox.say(Outgoing(topic, self._presence(PresenceState.ONLINE), retain=True, content_type=_JSON))

    def degraded(self, what: str, trouble: StorageError | None) -> None:
        """The disk refuses what ``what`` names, or takes it again: told once, and in presence while it lasts."""
        if trouble is not None:
            if not self._troubles:
                _log.error("no jobs are taken for now: %s", trouble.message)
            self._troubles.setdefault(what, trouble.message)
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
                engine=self._pool.engine,
                arch=self._arch,
                boot=self._boot,
                sandbox=self._pool.posture,
                modules=self._updates.reported(modules) if self._updates is not None else modules,
                deployments=self._updates.serials if self._updates is not None else {},
                limits=self._config.limits,
                message_limits=MessageLimits(
                    packet_bytes=self._config.broker.max_packet_bytes,  # what the agent's CONNECT asks for
                    input_bytes=self._policy.limits.input_bytes,
                    module_bytes=min(self._policy.limits.module_bytes, self._config.bounds.module_bytes),
                ),
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
                updates=self._updates.trouble if self._updates is not None else "",
            )
        )
        if payload != self._told:
            self._told = payload
            topic = self._policy.topics.reported(self._config.id)
            self._outbox.say(Outgoing(topic, payload, retain=True, content_type=_JSON))

    # --- states of jobs -----------------------------------------------------------------------------------------------

    def on_change(self, job: Job, state: JobState) -> None:
        """A job came into a state that is not its last."""
        if self._config.status is StatusReports.NONE or job.plain:
            return
        if self._config.status is StatusReports.ALL:
            self._status(job.id, state, job.attempt)
        else:
            due = self._clock.monotonic() + self._config.slow_after_ms / 1000
            before = self._slow.get(job.id)
            self._slow[job.id] = (due if before is None else before[0], state, job.attempt)

    def on_end(self, job_id: str) -> None:
        """A job is at its end; its result says so."""
        self._slow.pop(job_id, None)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        return next(iter(self._slow.values()))[0] if self._slow else None

    def tick(self, now: float) -> None:
        """Tell the states of jobs that take long."""
        while self._slow:
            job_id, (due, state, attempt) = next(iter(self._slow.items()))
            if due > now:
                return
            del self._slow[job_id]
            self._status(job_id, state, attempt)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _status(self, job_id: str, state: JobState, attempt: int) -> None:
        at = int(self._clock.now() * 1000)
        payload = encode_status(StatusChange(job_id, self._config.id, state, attempt, at))
        topic = self._policy.topics.status(self._config.id, job_id)
        self._outbox.say(Outgoing(topic, payload, content_type=CONTENT_TYPE))

    def _last_job(self) -> LastJob | None:
        rows = self._journal.reader.recent(1)
        return LastJob(rows[0].id, rows[0].state, int(rows[0].received_at)) if rows else None

    def _presence(self, state: PresenceState) -> bytes:
        return encode_presence(Presence(state, self._boot, self._since, next(iter(self._troubles.values()), "")))


def offline_word(config: Config, topics: Topics, boot: str, since: int) -> Outgoing:
    """What the device says before it leaves, and the broker says for a device that is gone."""
    payload = encode_presence(Presence(PresenceState.OFFLINE, boot, since))
    return Outgoing(topics.presence(config.id), payload, retain=True, content_type=_JSON)
