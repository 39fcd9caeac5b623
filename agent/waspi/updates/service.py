"""Updates within the agent: when to look, the updater's process, and what it brings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from selectors import BaseSelector
from typing import Final

from waspi.errors import EnvelopeError, StorageError, UsageError, WorkerError
from waspi.model.limits import Limits
from waspi.model.release import Release
from waspi.model.result import JobError
from waspi.protocol import json_document
from waspi.protocol.reported import ReportedModule
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.task import Done
from waspi.updates import errand, lifecycle
from waspi.updates.errand import Errand, Fetched, Finished, Named, Plan, Refused, decode_message, encode_message
from waspi.updates.golden_test import PREFIX
from waspi.updates.keeper import Keeper, KeeperTerms
from waspi.updates.life import Life
from waspi.updates.messenger import Messenger, command
from waspi.updates.ports import Serving, Surroundings
from waspi.updates.register import FOLDER
from waspi.updates.request_box import RequestBox
from waspi.updates.schedule import Schedule
from waspi.updates.seen import read_seen
from waspi.updates.settings import UpdatesConfig

_STALLED_S: Final = 600.0
"""An updater that says nothing for so long is ended; by itself it gives up earlier."""

_MAX_NOTICE: Final = 1024
_MOST_CACHED: Final = 256
"""Digests of modules that the updater is told of, those that were used last."""

_log = logging.getLogger(__name__)


class Updates:
    """Everything about updates that the agent's loop has to call."""

    def __init__(
        self,
        config: UpdatesConfig,
        *,
        device: str,
        groups: tuple[str, ...],
        state_dir: Path,
        limits: Limits,
        selector: BaseSelector,
        cache: ModuleCache,
        serving: Serving,
        around: Surroundings,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        program: tuple[str, ...] = (),
    ) -> None:
        """Read what is on the disk and serve what it says.

        ``now`` gives Unix seconds not before the clock's floor. Raises ``StorageError``.
        """
        self._config = config
        self._device = device
        self._groups = groups
        self._folder = state_dir / FOLDER
        self._selector = selector
        self._cache = cache
        self._serving = serving
        self._around = around
        self._now = now
        self._monotonic = monotonic
        self._program = program or command()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot use {self._folder}: {error.strerror}") from error
        self._requests = RequestBox(self._folder)
        self._schedule = Schedule(config.schedule, monotonic())
        self._messenger: Messenger | None = None
        self._heard = 0.0
        self._last_word: Finished | None = None
        self._named: dict[str, Named] = {}
        self._available: dict[str, str] = {}
        self._serials: dict[str, int] = {}
        self._timestamp = ""
        self._trouble = ""
        self._take_in_seen()
        terms = KeeperTerms(limits, config.trial, config.trial_s)
        self.keeper = Keeper(self._folder, terms, cache, serving, monotonic, around.changed)

    def attach(self, pool: Pool) -> None:
        """Hand over the pool."""
        self.keeper.attach(pool)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        if self._requests.news:
            return 0.0
        times = [self.keeper.next_deadline()]
        if self._messenger is not None:
            times.append(self._heard + _STALLED_S)
        elif self._may_check:
            times.append(self._schedule.due)
        return min((each for each in times if each is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if self._requests.news:
            self._take_requests()
        if self._messenger is not None:
            if now >= self._heard + _STALLED_S:
                _log.error("the updater says nothing any more and is ended")
                self._heard = now
                self._messenger.kill()
        elif self._may_check and now >= self._schedule.due:
            self._check(now)
        self.keeper.tick(now)

    def on_done(self, done: Done) -> bool:
        """Whether the run that ended was one of ours; in any case our turn comes first."""
        if done.job_id.startswith(PREFIX):
            self.keeper.on_done(done)
            return True
        self.keeper.take_turn()
        return False

    def on_job_end(self, label: str, error: JobError | None) -> None:
        """A job has ended that ran on the module that its result calls ``label``."""
        name, _, version = label.partition("@")
        version, trial, _ = version.partition(" (trial)")
        if trial and self.keeper.is_tried(name):
            self.keeper.job_ended(name, version, error)

    def on_notice(self, payload: bytes) -> None:
        """A depot announces a timestamp (:class:`waspi.protocol.depot.TimestampNotice`): a hint, nothing more.

        Only its hash matters here; the envelopes between updater and depot would cost the idle agent 100 KB.
        """
        try:
            fields = json_document.decode_document(payload, "timestamp notice", max_bytes=_MAX_NOTICE)
        except EnvelopeError as error:
            _log.warning("an announcement of updates is dropped: %s", error.message)
            return
        if fields.get("sha256") != self._timestamp:
            self._schedule.announced(self._monotonic())

    def on_chunk(self, payload: bytes) -> None:
        """A depot's answer: the updater's, if there is one; one that is lost is asked for again."""
        if self._messenger is not None:
            self._messenger.send(errand.DEPOT, payload)

    def close(self) -> None:
        """End the updater; what it has fetched stays."""
        if self._messenger is not None:
            self._messenger.close()
            self._messenger = None
        self._requests.close()

    # --- what is told -------------------------------------------------------------------------------------------------

    @property
    def serials(self) -> dict[str, int]:
        """Group to the serial of its newest deployment."""
        return self._serials

    @property
    def trouble(self) -> str:
        """Why the last check failed; empty when it went well."""
        return self._trouble

    def reported(self, fixed: Iterable[ReportedModule]) -> tuple[ReportedModule, ...]:
        """Reported state's modules: those of the configuration (``fixed``) and every life."""
        told = list(fixed)
        for record in self.keeper.records:
            serving = record.serving
            for life in record.lives:
                offered = self._available.get(record.name, "") if life is (serving or record.lives[-1]) else ""
                available = offered if offered != life.release.version else ""
                release = life.release
                told.append(
                    ReportedModule(record.name, release.version, release.sha256, life.state, life.reason, available)
                )
        return tuple(sorted(told, key=lambda each: each.name))

    # --- a check ------------------------------------------------------------------------------------------------------

    @property
    def _may_check(self) -> bool:
        return bool(self._config.url) or self._around.online

    def _check(self, now: float) -> None:
        records = self.keeper.records
        task = Errand(
            device=self._device,
            groups=self._groups,
            url=self._config.url,
            ca=str(self._config.ca or ""),
            root=str(self._config.root),
            folder=str(self._folder.absolute()),
            now=self._now(),
            room=self._cache.room,
            range_bytes=self._config.range_bytes,
            window=self._config.window,
            serving={record.name: record.serving.release.version for record in records if record.serving},
            held={
                record.name: tuple(life.release.version for life in record.lives if not life.state.final)
                for record in records
            },
            barred={record.name: lifecycle.barred(record) for record in records},
            fixed=self._serving.fixed(),
            cached=self._cache.digests()[-_MOST_CACHED:],
        )
        self._schedule.begin()
        self._heard = now
        self._last_word = None
        self._named.clear()
        try:
            self._messenger = Messenger(self._selector, self._program, self._on_message, self._on_end)
        except WorkerError as error:
            self._on_end(error.message)
            return
        self._messenger.send(encode_message(task))

    def _on_message(self, data: bytes) -> None:
        self._heard = self._monotonic()
        if data[:1] == errand.DEPOT:
            self._around.ask_depot(data[1:])
            return
        try:
            message = decode_message(data)
        except (EnvelopeError, TypeError) as error:
            _log.error("the updater says something that is no message: %s", error)
            return
        match message:
            case Named() as named:
                self._named[named.name] = named
            case Plan() as plan:
                self._take_plan(plan)
            case Fetched() as done:
                self.keeper.fetched(done.name, done.version, group=done.group, serial=done.serial, retry=done.retry)
            case Refused() as no:
                digest = "0" * 64  # nothing of it is here
                life = Life(Release(no.name, no.version, digest, 0), group=no.group, serial=no.serial, retry=no.retry)
                self.keeper.refused(no.name, life, no.error)
            case Finished() as word:
                self._last_word = word
            case _:
                pass

    def _take_plan(self, plan: Plan) -> None:
        self._serials = dict(plan.serials)
        self._timestamp = plan.timestamp
        self._around.raise_floor(plan.floor)
        self._available = {name: named.offered for name, named in self._named.items()}
        for record in self.keeper.records:
            if record.name not in self._named:
                self.keeper.unwanted(record.name)
        for name, named in self._named.items():
            if named.version:
                self.keeper.wanted(name, named.version, group=named.group, serial=named.serial)
        self._around.changed()

    def _on_end(self, how: str) -> None:
        """The updater is gone."""
        self._messenger = None
        word = self._last_word or Finished("worker", f"the updater {how}")
        self._schedule.ended(self._monotonic(), well=not word.kind)
        if word.message != self._trouble:
            if word.message:
                _log.warning("no update: %s", word.message)
            self._trouble = word.message
            self._around.changed()
        _log.debug(
            "the updater made %d requests, fetched %d bytes in %d ms and took %d KiB",
            word.requests,
            word.fetched_bytes,
            word.fetched_ms,
            word.peak_kib,
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take_requests(self) -> None:
        try:
            self._requests.take(lambda: self._schedule.asked(self._monotonic()), self._roll_back)
        except StorageError as error:
            _log.error("%s", error.message)

    def _roll_back(self, name: str) -> None:
        try:
            self.keeper.roll_back(name)
        except UsageError as error:
            _log.error("a rollback that was asked for is not done: %s", error.message)

    def _take_in_seen(self) -> None:
        try:
            seen = read_seen(self._folder)
        except EnvelopeError as error:
            _log.error("%s", error.message)
            return
        self._serials = {group: serial for group, serial in seen.serials.items() if group in self._groups}
        self._timestamp = seen.timestamp
        self._around.raise_floor(seen.floor)
