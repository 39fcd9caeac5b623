"""Carries releases through their lives: writes each next state to the disk, then does what it asks for.

What is to be done is decided in :mod:`waspi.updates.lifecycle`; here are the disk, the sandbox and the catalog. When
the disk refuses, events wait in order and nothing goes on before it takes them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from waspi.errors import EnvelopeError, StorageError, WaspiError
from waspi.model.limits import Limits
from waspi.model.module_state import ModuleState
from waspi.model.release import Release
from waspi.model.result import JobError
from waspi.protocol import json_document
from waspi.protocol.release_custom import release_of
from waspi.protocol.repository_path import module_target
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.task import Done, Task
from waspi.updates import lifecycle
from waspi.updates.lifecycle import Act, Effect, Life, ModuleRecord, Step, TrialTerms, golden_failure
from waspi.updates.modules_file import ModulesFile

_AGAIN_S: Final = 10.0
"""Between two tries when the disk refuses."""
_MAX_DESCRIPTION: Final = 1024 * 1024

PREFIX = "golden:"
"""Begins the id of every task here; no job's id has a colon."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstallTerms:
    """Bounds of tests and trials."""

    limits: Limits
    """The device's own, which cap every release's."""
    trial: TrialTerms
    trial_s: float


class Serving(Protocol):
    """Who decides what a module's name stands for."""

    def serve(self, release: Release, *, trial: bool, others: tuple[Release, ...]) -> None:
        """Have jobs by name run on ``release``; ``others`` are run when a job names their version."""

    def withdraw(self, name: str) -> None:
        """The name stands for nothing any more."""

    def fixed(self) -> tuple[str, ...]:
        """Modules that the device's configuration names itself, so that no deployment does."""


class GoldenTest:
    """The pairs of one release: :meth:`task` gives the next to run, :meth:`take` its end."""

    def __init__(self, release: Release, device: Limits) -> None:
        self.release = release
        self._limits = release.limits.capped_by(device)
        self._passed = 0
        self.error: JobError | None = None
        """Why it failed."""
        self.blamed = False
        """Whether that is the module's doing."""

    @property
    def over(self) -> bool:
        """Whether there is nothing left to run."""
        return self.error is not None or self._passed == len(self.release.golden)

    def task(self) -> Task:
        """The next pair's run, with an instance, fuel and time of its own."""
        release = self.release
        pair = release.golden[self._passed]
        return Task(f"{PREFIX}{release.label}", release.sha256, release.abi, self._limits, (pair.input,))

    def take(self, done: Done) -> None:
        """What became of the pair that ran."""
        expected = self.release.golden[self._passed].output
        number, of = self._passed + 1, len(self.release.golden)
        if done.error is not None:
            told = f"golden pair {number} of {of} failed with {done.error.kind}: {done.error.message}"
            self.error = JobError(done.error.fault, done.error.kind, told)
            self.blamed = done.blames_module
        elif done.outputs != (expected,):
            self.error = golden_failure(number, of, done.outputs[0] if done.outputs else b"", expected)
        else:
            self._passed += 1


class Installer:
    """Owns the modules file; ``on_change`` is called when something that is reported has changed."""

    def __init__(
        self,
        folder: Path,
        terms: InstallTerms,
        cache: ModuleCache,
        serving: Serving,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """Read the modules file and serve what it says. Raises ``StorageError``."""
        self._folder = folder
        self._terms = terms
        self._cache = cache
        self._serving = serving
        self._clock = clock
        self._on_change = on_change
        self._pool: Pool | None = None
        self._events: deque[tuple[str, Callable[[ModuleRecord], Step]]] = deque()
        self._not_before = 0.0
        self._trials: dict[str, tuple[str, float]] = {}
        self._tests: deque[GoldenTest] = deque()
        self._running: GoldenTest | None = None
        self._owed: list[Effect] = []
        self._modules = ModulesFile(folder)
        for record in self._modules:
            for digest in record.digests:
                self._cache.pin(digest)
            self._take_up(record)

    def attach(self, pool: Pool) -> None:
        """Hand over the pool; what the records still owe begins."""
        self._pool = pool
        owed, self._owed = self._owed, []
        for effect in owed:
            self._do(effect)

    @property
    def records(self) -> tuple[ModuleRecord, ...]:
        """Every module's record."""
        return tuple(self._modules)

    def record(self, name: str) -> ModuleRecord:
        """One module's record."""
        return self._modules[name]

    # --- events -------------------------------------------------------------------------------------------------------

    def fetched(self, name: str, version: str, *, group: str, serial: int, retry: int) -> None:
        """A release lies in the updater's folder, checked."""
        try:
            release = self._described(name, version)
        except WaspiError as error:
            _log.error("release %s@%s is not taken: %s", name, version, error.message)
            return
        life = Life(replace(release, golden=()), group=group, serial=serial, retry=retry)
        self._enter(name, lambda record: lifecycle.fetched(record, life))

    def refused(self, name: str, life: Life, error: JobError) -> None:
        """A wanted release cannot be had."""
        self._enter(name, lambda record: lifecycle.refused(record, life, error))

    def wanted(self, name: str, version: str, *, group: str, serial: int) -> None:
        """A deployment names this version."""
        self._enter(name, partial(lifecycle.wanted, version=version, group=group, serial=serial))

    def unwanted(self, name: str) -> None:
        """No deployment names this module."""
        self._enter(name, lifecycle.unwanted)

    def roll_back(self, name: str, version: str, *, retry: int, force: bool) -> None:
        """Somebody on the device wants the release before ``version`` back. Raises as :func:`lifecycle.roll_back`."""
        event = partial(lifecycle.roll_back, version=version, retry=retry, force=force)
        event(self._modules[name])
        self._enter(name, event)

    def job_ended(self, name: str, version: str, error: JobError | None) -> None:
        """A job ran on this release."""
        self._enter(name, lambda record: lifecycle.job_ended(record, version, error, self._terms.trial))

    def is_tried(self, name: str) -> bool:
        """Whether a release of this module is in its trial."""
        return name in self._trials

    # --- time and turns -----------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        times = [started + self._terms.trial_s for _, started in self._trials.values()]
        if self._events:
            times.append(self._not_before)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Try again what the disk refused; end trials that have lasted long enough; run the next golden pair."""
        if self._events and now >= self._not_before:
            self._work()
        for name, (version, started) in list(self._trials.items()):
            if now >= started + self._terms.trial_s:
                self._trials[name] = (version, now)
                self._enter(name, partial(lifecycle.trial_over, version=version))
        self.take_turn()

    def take_turn(self) -> None:
        """Run the next golden pair if a worker is free: it goes before the next job, of which there may be no end."""
        while self._pool is not None and self._running is None and self._tests and self._pool.free > 0:
            test = self._tests[0]
            life = self._modules[test.release.name].of(test.release.version)
            if test.over or life is None or life.state is not ModuleState.COMPILED:
                self._tests.popleft()
                release, error = test.release, test.error
                event = partial(lifecycle.tested, version=release.version, error=error, blamed=test.blamed)
                self._enter(release.name, event)
                continue
            self._running = test
            self._pool.submit(test.task())

    def on_done(self, done: Done) -> None:
        """A golden pair's run has ended."""
        test, self._running = self._running, None
        if test is not None:
            test.take(done)
        self.take_turn()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _enter(self, name: str, event: Callable[[ModuleRecord], Step]) -> None:
        self._events.append((name, event))
        if len(self._events) == 1:  # else somebody above is at work, or the disk is to be left alone for now
            self._work()

    def _work(self) -> None:
        while self._events:
            name, event = self._events[0]
            before = self._modules[name]
            try:
                after, effects = event(before)
                self._modules.put(after)
            except StorageError as error:
                _log.error("module %s stays as it is for now: %s", name, error.message)
                self._not_before = self._clock() + _AGAIN_S
                return
            except WaspiError as error:
                _log.error("module %s stays as it is: %s", name, error.message)
                self._events.popleft()
                continue
            for digest in after.digests:
                self._cache.pin(digest)
            for digest in before.digests:
                self._cache.unpin(digest)
            for effect in effects:
                self._do(effect)
            self._events.popleft()
            if effects:
                self._on_change()

    def _do(self, effect: Effect) -> None:
        life = effect.life
        release = life.release
        name, version = release.name, release.version
        match effect.act:
            case Act.SERVE:
                self._serve(self._modules[name])
            case Act.WITHDRAW:
                self._trials.pop(name, None)
                self._serving.withdraw(name)
            case Act.TELL:
                _log.warning("module %s is %s: %s", life.label, life.state, life.reason)
            case Act.LET_GO:
                pass  # its pins are gone with its record; the cache evicts it when it needs the room
            case Act.ADOPT:
                _log.info("module %s is fetched, for deployment %d of group %s", life.label, life.serial, life.group)
                self._enter(name, partial(lifecycle.adopted, version=version, error=self._adopt(release)))
            case Act.BEGIN:
                self._enter(name, partial(lifecycle.begin_trial, version=version))
            case Act.COMPILE | Act.TEST if self._pool is None:
                self._owed.append(effect)
            case Act.COMPILE:
                self._pool.prepare(
                    release.sha256,
                    release.abi,
                    lambda error: self._enter(name, partial(lifecycle.compiled, version=version, error=error)),
                )
            case Act.TEST:
                self._test(life)

    def _adopt(self, release: Release) -> JobError | None:
        try:
            self._cache.adopt(self._folder / "download" / f"{release.sha256}.wasm", release.sha256)
        except StorageError as error:
            return JobError(error.fault, error.kind, error.message)
        return None

    def _test(self, life: Life) -> None:
        try:
            self._tests.append(GoldenTest(self._described(life.release.name, life.release.version), self._terms.limits))
        except WaspiError as error:
            told = JobError(error.fault, error.kind, error.message)
            self._enter(life.release.name, partial(lifecycle.tested, version=life.release.version, error=told))
            return
        self.take_turn()

    def _serve(self, record: ModuleRecord) -> None:
        life = record.serving
        if life is None:
            return
        trial = record.trial is not None
        others = (record.active, record.retired) if trial else (record.retired,)
        self._serving.serve(
            life.release, trial=trial, others=tuple(other.release for other in others if other is not None)
        )
        if not trial:
            self._trials.pop(record.name, None)
        elif self._trials.get(record.name, ("", 0.0))[0] != life.release.version:
            self._trials[record.name] = (life.release.version, self._clock())
        _log.info("module %s serves%s", life.label, ", in its trial" if trial else "")

    def _take_up(self, record: ModuleRecord) -> None:
        """A record from the disk: what it says is so, or is begun again."""
        lost = [life for life in record.lives if not life.state.final and not self._is_here(life)]
        for life in lost:
            _log.error("the bytes of %s (%s) are gone from this device; they are fetched again", life.label, life.state)
            self._cache.unpin(life.release.sha256)
            record = record.without(life)
        if lost:
            if record.serving is None and record.retired is not None:
                record = record.with_life(record.retired.serve_again())
            self._modules.put(record)
        for effect in lifecycle.resume(record):
            self._do(effect)

    def _is_here(self, life: Life) -> bool:
        if self._cache.has(life.release.sha256):
            return True
        fetched = self._folder / "download" / f"{life.release.sha256}.wasm"
        return life.state is ModuleState.FETCHED and fetched.exists()

    def _described(self, name: str, version: str) -> Release:
        """What is signed of a release, as the updater has put it down. Raises ``StorageError``, ``EnvelopeError``."""
        path = self._folder / "releases" / f"{name}@{version}.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        fields = json_document.decode_document(data, path.name, max_bytes=_MAX_DESCRIPTION)
        length, sha256, custom = (fields.get(key) for key in ("length", "sha256", "custom"))
        if type(length) is not int or type(sha256) is not str or (custom is not None and type(custom) is not dict):
            raise EnvelopeError(f"{path.name} is no description of a release")
        return release_of(module_target(name, version), length, sha256, custom)
