"""Updates within the agent: when to look, the updater's process, and what it brings."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from selectors import BaseSelector
from typing import Final, Protocol

from waspi.errors import EnvelopeError, StorageError, UsageError, WorkerError
from waspi.model.limits import Limits
from waspi.model.release import Release
from waspi.model.result import JobError
from waspi.protocol import json_document
from waspi.protocol.reported import ReportedModule
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.task import Done
from waspi.updates import lifecycle, updater_messages
from waspi.updates.installer import PREFIX, Installer, InstallTerms, Serving
from waspi.updates.lifecycle import Life
from waspi.updates.local_requests import LocalRequests, RollbackRequest
from waspi.updates.modules_file import FOLDER
from waspi.updates.schedule import Schedule
from waspi.updates.seen import read_seen
from waspi.updates.settings import UpdatesConfig
from waspi.updates.updater_messages import (
    CheckRequest,
    Fetched,
    Finished,
    NamedRelease,
    NotFetched,
    Refreshed,
    decode_message,
    encode_message,
)
from waspi.updates.updater_process import UpdaterProcess, command

_STALLED_S: Final = 600.0
"""An updater that says nothing for so long is ended; by itself it gives up earlier."""

_MAX_NOTICE: Final = 1024
_MOST_DEPOTS: Final = 64
_MOST_ASKED: Final = 2
"""Depots that are asked by name, one after the other, before all are asked at once: whoever is there then answers."""
_MOST_CACHED: Final = 256
"""Digests of modules that the updater is told of, those that were used last."""

_log = logging.getLogger(__name__)


class Surroundings(Protocol):
    """What the agent offers."""

    @property
    def online(self) -> bool:
        """Whether the broker is connected."""

    def ask_depot(self, depot: str, request: bytes) -> None:
        """Publish a request to ``depot``, or, when that is empty, to every depot."""

    def changed(self) -> None:
        """Reported state is to be published: it is not what it was."""

    def raise_floor(self, seen: float) -> None:
        """So many Unix seconds have certainly passed."""


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
        self._requests = LocalRequests(self._folder)
        self._schedule = Schedule(config.schedule, monotonic())
        self._updater: UpdaterProcess | None = None
        self._heard = 0.0
        self._last_word: Finished | None = None
        self._named: dict[str, NamedRelease] = {}
        self._available: dict[str, str] = {}
        self._serials: dict[str, int] = {}
        self._timestamp = ""
        self._depots: dict[str, bool] = {}
        self._trouble = ""
        self._take_in_seen()
        terms = InstallTerms(limits, config.trial, config.trial_s)
        self.installer = Installer(self._folder, terms, cache, serving, monotonic, around.changed)

    def attach(self, pool: Pool) -> None:
        """Hand over the pool."""
        self.installer.attach(pool)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        if self._requests.news:
            return 0.0
        times = [self.installer.next_deadline()]
        if self._updater is not None:
            times.append(self._heard + _STALLED_S)
        elif self._may_check:
            times.append(self._schedule.due)
        return min((each for each in times if each is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        if self._requests.news:
            self._take_requests()
        if self._updater is not None:
            if now >= self._heard + _STALLED_S:
                _log.error("the updater says nothing any more and is ended")
                self._heard = now
                self._updater.kill()
        elif self._may_check and now >= self._schedule.due:
            self._check(now)
        self.installer.tick(now)

    def on_done(self, done: Done) -> bool:
        """Whether the run that ended was one of ours; in any case our turn comes first."""
        if done.job_id.startswith(PREFIX):
            self.installer.on_done(done)
            return True
        self.installer.take_turn()
        return False

    def on_job_end(self, label: str, error: JobError | None, *, publishers_terms: bool = False) -> None:
        """A job has ended that ran on the module that its result calls ``label``.

        ``publishers_terms``: it ran under an ABI description or limits that came with the job. Then its end says
        nothing about the release: a publisher who grants too little fuel must not have it rolled back.
        """
        if publishers_terms:
            return
        name, _, version = label.partition("@")
        version, trial, _ = version.partition(" (trial)")
        if trial and self.installer.is_tried(name):
            self.installer.job_ended(name, version, error)

    def on_notice(self, depot: str, payload: bytes) -> None:
        """``depot`` announces a timestamp (:class:`waspi.protocol.depot.TimestampNotice`), or, empty, that it is gone.

        Only its hash matters here; the envelopes between updater and depot would cost the idle agent 100 KB.
        """
        if not payload:
            self._depots.pop(depot, None)
            return
        try:
            fields = json_document.decode_document(payload, "timestamp notice", max_bytes=_MAX_NOTICE)
        except EnvelopeError as error:
            _log.warning("an announcement of updates is dropped: %s", error.message)
            return
        self._depots.pop(depot, None)
        self._depots[depot] = False
        if len(self._depots) > _MOST_DEPOTS:
            del self._depots[next(iter(self._depots))]  # the one that was announced longest ago
        # After a check that failed half way the timestamp is known already, and a depot that comes is still news.
        if fields.get("sha256") != self._timestamp or self._trouble:
            self._schedule.announced(self._monotonic())

    def on_chunk(self, payload: bytes) -> None:
        """A depot's answer: the updater's, if there is one; one that is lost is asked for again."""
        if self._updater is not None:
            self._updater.send(updater_messages.DEPOT, payload)

    def close(self) -> None:
        """End the updater; what it has fetched stays."""
        if self._updater is not None:
            self._updater.close()
            self._updater = None
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
        for record in self.installer.records:
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
        records = self.installer.records
        task = CheckRequest(
            device=self._device,
            groups=self._groups,
            url=self._config.url,
            ca=str(self._config.ca or ""),
            redirect_hosts=self._config.redirect_hosts,
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
            depots=tuple(sorted(self._depots, key=self._place_of)[:_MOST_ASKED]),
            cached=self._cache.digests()[-_MOST_CACHED:],
        )
        self._schedule.begin()
        self._heard = now
        self._last_word = None
        self._named.clear()
        try:
            self._updater = UpdaterProcess(self._selector, self._program, self._on_message, self._on_end)
        except WorkerError as error:
            self._on_end(error.message)
            return
        if not self._updater.send(encode_message(task)):
            self._last_word = Finished("device", "this device has too many modules for one look at the repository")
            self._updater.kill()

    def _on_message(self, data: bytes) -> None:
        self._heard = self._monotonic()
        if data[:1] == updater_messages.DEPOT:
            depot, _, request = data[1:].partition(b"\0")
            self._around.ask_depot(depot.decode(), request)
            return
        try:
            message = decode_message(data)
        except (EnvelopeError, TypeError) as error:
            _log.error("the updater says something that is no message: %s", error)
            return
        match message:
            case NamedRelease() as named:
                self._named[named.name] = named
            case Refreshed() as news:
                self._take_refreshed(news)
            case Fetched() as done:
                self.installer.fetched(done.name, done.version, group=done.group, serial=done.serial, retry=done.retry)
            case NotFetched() as no:
                digest = "0" * 64  # nothing of it is here
                life = Life(Release(no.name, no.version, digest, 0), group=no.group, serial=no.serial, retry=no.retry)
                self.installer.refused(no.name, life, no.error)
            case Finished() as word:
                self._last_word = word
            case _:
                pass

    def _take_refreshed(self, news: Refreshed) -> None:
        self._serials = dict(news.serials)
        self._timestamp = news.timestamp
        self._around.raise_floor(news.floor)
        self._available = {name: named.offered for name, named in self._named.items()}
        for record in self.installer.records:
            if record.name not in self._named:
                self.installer.unwanted(record.name)
        for name, named in self._named.items():
            if named.version:
                self.installer.wanted(name, named.version, group=named.group, serial=named.serial)
        self._around.changed()

    def _on_end(self, how: str) -> None:
        """The updater is gone."""
        self._updater = None
        word = self._last_word or Finished("worker", f"the updater {how}")
        self._schedule.ended(self._monotonic(), well=not word.kind)
        if word.message != self._trouble:
            if word.message:
                _log.warning("no update: %s", word.message)
            self._trouble = word.message
            self._around.changed()
        self._depots |= dict.fromkeys(self._depots.keys() & {*word.silent}, True)
        _log.debug(
            "the updater made %d requests, fetched %d bytes in %d ms and took %d KiB",
            word.requests,
            word.fetched_bytes,
            word.fetched_ms,
            word.peak_kib,
        )

    def _place_of(self, depot: str) -> tuple[bool, bytes]:
        """Those that were silent last come last; else each device has an order of its own, so that they share a fleet.

        The order is by SHA-256 of device and depot: one more depot, or one less, moves nobody who is not concerned.
        """
        return self._depots[depot], hashlib.sha256(f"{self._device}/{depot}".encode()).digest()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take_requests(self) -> None:
        try:
            self._requests.take(lambda: self._schedule.asked(self._monotonic()), self._roll_back)
        except StorageError as error:
            _log.error("%s", error.message)

    def _roll_back(self, request: RollbackRequest) -> None:
        try:
            self.installer.roll_back(request.name, request.version, retry=request.retry, force=request.force)
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
