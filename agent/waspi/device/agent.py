"""The agent: one loop over MQTT, journal and workers."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from waspi.device.announcer import Announcer, offline_word
from waspi.device.bounds import policy_of, quotas_of
from waspi.device.budget import Budget
from waspi.device.catalog import Catalog
from waspi.device.clock import Clock
from waspi.device.intake import Intake
from waspi.device.jobs import Jobs
from waspi.device.notify import Notifier
from waspi.device.outbox import Outbox
from waspi.device.router import Router
from waspi.device.settings import Config, Sync
from waspi.device.state_call import StateCalls
from waspi.device.state_folder import open_state_folder
from waspi.device.subscriptions import Subscriptions
from waspi.device.sync import SyncReports
from waspi.errors import BrokerError, StorageError
from waspi.journal.journal import Journal
from waspi.journal.operations import ForgetDeliveries, Prune
from waspi.journal.writer import CommitThread, Writer
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings, Will
from waspi.protocol.topics import Topics
from waspi.sandbox.background import Background
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.settings import PoolSettings, cores

if TYPE_CHECKING:
    from waspi.journal.journal import Outcome
    from waspi.journal.operations import Operation
    from waspi.sandbox.task import Done
    from waspi.updates.service import Updates

_log = logging.getLogger(__name__)

_STOP_GRACE_S = 5.0
"""Seconds that running jobs get to end before the agent leaves."""
_STUCK_S = 60.0
"""Seconds without an answer of the disk after which the watchdog is no longer fed."""
_BATCH = 8
"""Packets that are read, and published, before workers and disk get their turn again: none of them waits idle."""
_ROUNDS = 16
"""Rounds of events before clocks and deadlines are looked at again."""
_REPORT_S = _PRUNE_S = 60.0


class Agent:
    """Everything that runs on a device. :meth:`run` returns when a signal asks it to."""

    def __init__(self, config: Config, environment: Mapping[str, str], clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or Clock()
        self._selector = selectors.DefaultSelector()
        self._notifier = Notifier(environment, self._clock.monotonic)
        self._stopping = False
        self._leave_at = 0.0
        self._first_session = True
        self._more = False
        self._engine = ""
        self._next_report = 0.0
        self._next_prune = 0.0
        state = config.state_dir
        open_state_folder(state)

        topics = Topics(config.fleet)
        durable = config.journal.sync is Sync.FULL
        self._journal = Journal.open(
            state / "journal.db", quotas=quotas_of(config), durable=durable, now=self._clock.now
        )
        self._policy = replace(policy_of(config, topics), memory_since=self._journal.memory_since)
        boot = f"{self._journal.boot}-{os.urandom(4).hex()}"
        workers = config.queue.workers or cores()
        # From the disk and the network outward: each part is whole when it is made, and calls those before it. What the
        # link, the journal's writer and the pool have to tell, they tell the agent, which calls whom it concerns.
        thread = CommitThread(self._journal)
        self._writer = Writer(self._journal, self, thread, self._clock.monotonic)
        self._selector.register(thread.descriptor, selectors.EVENT_READ, self._writer.settle)
        self._cache = ModuleCache(state / "modules", config.cache_bytes)
        self._catalog = Catalog(self._cache)
        for module in config.modules:
            self._catalog.add_local(module)
        will = offline_word(config, topics, boot, int(self._clock.now()))
        self._link = Link(_link_settings(config, will), self._selector, self, self._clock.monotonic, batch=_BATCH)
        self._outbox = Outbox(config.id, self._link, self._journal.reader, self._writer, self._clock.monotonic)
        self._pool = Pool(
            self._selector,
            self._cache,
            PoolSettings(
                size=workers,
                idle_s=config.queue.idle_s,
                memory_bytes=config.limits.memory_bytes or 0,
                module_memory_bytes=config.limits.memory_bytes or 0,
                bounds=config.bounds,
                isolation=config.queue.isolation,
                require=frozenset(config.policy.require),
            ),
            self.on_done,
            clock=self._clock.monotonic,
        )
        self._updates = self._take_updates(topics)
        filters = topics.device_filters(config.id, config.groups)
        if self._updates is not None:
            filters = (*filters, *topics.updater_filters(config.id))
        self._subscriptions = Subscriptions(state / "subscriptions.json", self._link, filters)
        self._announcer = Announcer(
            config,
            self._policy,
            self._catalog,
            self._journal,
            self._pool,
            self._outbox,
            self._updates,
            self._clock,
            boot,
        )
        self._jobs = Jobs(
            config.id,
            self._journal,
            self._writer,
            self._cache,
            self._pool,
            self._link,
            self._outbox,
            self._announcer,
            self._updates,
            Budget(config.budget.run_ms_per_minute, config.budget.memory_bytes, self._clock.monotonic()),
            self._clock,
            trace=config.trace,
        )
        self._background = Background(self._selector)
        self._sync = SyncReports(self._policy, self._journal.reader, self._jobs, self._outbox, self._clock, boot)
        self._intake = Intake(
            self._policy,
            config.limits,
            self._catalog,
            self._journal,
            self._writer,
            self._jobs,
            self._link,
            self._outbox,
            self._announcer,
            self._background,
            self._clock,
        )
        self._state_calls = StateCalls(self._policy, self._link, self._announcer.state, self._clock.monotonic)
        self._router = Router(self._policy, self._link, self._intake, self._sync, self._state_calls, self._updates)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises ``LockdownError`` when the sandbox is not what the policy requires."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: wake_read.recv(64))
        before = signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self.start()
            while not self._finished():
                self._step()
        finally:
            signal.set_wakeup_fd(before)
            self._close()
            wake_read.close()
            wake_write.close()

    def start(self) -> None:
        """What :meth:`run` does first: workers, connection, and what an earlier life of the agent left undone."""
        if self._config.policy.require:
            self._pool.probe()
        else:
            self._pool.start_one()  # its greeting tells the posture; it leaves when idle
        self._link.start()
        self._jobs.pump()
        self._notifier.ready()
        _log.info("agent %s of fleet %s is up; boot %d", self._config.id, self._config.fleet, self._journal.boot)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        now = self._clock.monotonic()
        ready = self._selector.select(0 if self._more else self._timeout(now))
        for _ in range(_ROUNDS):
            for key, _events in ready:
                key.data()
            self._more = self._link.read_more()
            self._pool.flush()
            self._more |= self._outbox.pump(_BATCH)
            self._link.flush()
            ready = self._selector.select(0)
            if not ready and not self._more:
                break
        now = self._clock.monotonic()
        self._link.tick(now)
        self._pool.tick(now)
        self._jobs.tick(now)
        self._announcer.tick(now)
        self._state_calls.tick(now)
        if self._updates is not None and not self._stopping:
            self._updates.tick(now)
        self._intake.look_again()
        self._jobs.pump()
        if now >= self._next_report or self._pool.engine != self._engine:
            self._engine = self._pool.engine
            self._next_report = now + _REPORT_S
            if self._link.online:
                self._announcer.report()
        if now >= self._next_prune:
            self._next_prune = now + _PRUNE_S
            self._writer.enter(Prune(self._clock.now()))
        self._outbox.pump()
        for _ in range(_ROUNDS):
            if not self._writer.flush():
                break
            self._outbox.pump()
        self._pool.flush()
        self._link.flush()
        if self._writer.stuck_for(now) < _STUCK_S:
            self._notifier.feed(now)

    def _timeout(self, now: float) -> float:
        deadlines = [
            self._link.next_deadline(),
            self._pool.next_deadline(now),
            self._writer.next_deadline(),
            self._announcer.next_deadline(),
            self._state_calls.next_deadline(),
            self._intake.next_deadline(),
            self._outbox.next_deadline(),
            self._jobs.next_deadline(),
            self._notifier.next_deadline(),
            self._next_report,
            self._next_prune,
        ]
        if self._updates is not None and not self._stopping:
            deadlines.append(self._updates.next_deadline())
        if self._stopping:
            deadlines.append(self._leave_at)
        return max(0.0, min(each for each in deadlines if each is not None) - now)

    def _finished(self) -> bool:
        if not self._stopping:
            return False
        now = self._clock.monotonic()
        if not self._jobs.running and self._writer.idle and (self._outbox.empty or not self._link.online):
            return True
        return now >= self._leave_at

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._stopping:
            _log.info("%s: running jobs have %.0f s to end", signal.Signals(number).name, _STOP_GRACE_S)
            self._notifier.stopping()
            self._stopping = True
            self._jobs.draining = True
            self._leave_at = self._clock.monotonic() + _STOP_GRACE_S

    def _close(self) -> None:
        if self._link.online:
            if self._link.room > 0:
                self._link.publish(self._announcer.offline())
            self._link.flush()
        self._link.close()
        if self._updates is not None:
            self._updates.close()
        self._pool.close()
        self._background.close()
        self._jobs.give_back()
        self._writer.close()
        self._journal.close()
        self._notifier.close()
        self._selector.close()

    # --- what the link tells ----------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Connected: subscribe where the session is new, say who is here, send what waits."""
        _log.info("online at %s%s", self._link.address, "" if session_present else " with a new session")
        for each in limits.differences:
            _log.warning("%s", each)
        self._notifier.status("online")
        if not session_present:
            self._writer.enter(ForgetDeliveries())
        if not session_present or self._first_session:
            self._subscriptions.begin()
            self._first_session = False
        self._intake.on_online()
        self._outbox.on_online()
        self._announcer.on_online()
        self._sync.on_online()

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Not connected: jobs go on, results wait."""
        _log.warning("offline: %s; next try in %.1f s", reason.message, retry_in_s)
        self._notifier.status(f"offline: {reason.message}")

    def on_message(self, message: Incoming) -> None:
        """A message came."""
        self._router.on_message(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """The broker answered for a publish."""
        self._outbox.on_published(token, refused)

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """The broker answered for the subscription."""
        if refused is None:
            self._subscriptions.settled()
        else:
            _log.error("%s", refused.message)
            self._link.drop(refused)

    # --- what journal and pool tell ---------------------------------------------------------------------------------

    def on_committed(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """The journal's writer has committed these."""
        self._jobs.on_committed(operations, outcomes)

    def on_disk(self, trouble: StorageError | None) -> None:
        """The journal's disk begins to refuse, or takes again."""
        self._announcer.degraded("journal", trouble)

    def on_done(self, done: Done) -> None:
        """A worker is through with a run: of a job, or of a release that is tested."""
        if self._updates is None or not self._updates.on_done(done):
            self._jobs.on_done(done)

    # --- updates ----------------------------------------------------------------------------------------------------

    def _take_updates(self, topics: Topics) -> Updates | None:
        config = self._config
        if config.updates is None:
            return None
        from waspi.device.updating import updates_of  # noqa: PLC0415 - half a megabyte for those who want it

        updates = updates_of(
            config,
            config.updates,
            topics,
            self._selector,
            self._cache,
            self._catalog,
            self._link,
            self._outbox,
            self._clock,
            self._report_soon,
        )
        updates.attach(self._pool)
        return updates

    def _report_soon(self) -> None:
        self._next_report = 0.0


def _link_settings(config: Config, will: Outgoing) -> LinkSettings:
    broker = config.broker
    return LinkSettings(
        address=broker.address,
        client_id=f"waspi-{config.fleet}-{config.id}",
        tls=broker.tls,
        username=broker.username,
        password=broker.password,
        keepalive_s=broker.keepalive_s,
        session_expiry_s=broker.session_expiry_s,
        receive_maximum=broker.receive_maximum,
        max_packet_bytes=broker.max_packet_bytes,
        window=broker.window,
        will=Will(will.topic, will.payload, will.retain, broker.will_delay_s),
    )
