"""What happens to a module's releases: events in, a new record and effects out. No I/O, no clock.

The caller writes the record to the disk before it carries out the effects, so that a power cut at any moment leaves
the old state or the new one; :func:`resume` gives the effects that a state still owes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from waspi.errors import (
    CompileError,
    CrashedDeviceError,
    Fault,
    GoldenPairError,
    IllegalTransitionError,
    UsageError,
    WorkerError,
)
from waspi.model.module_state import ModuleState, may_become
from waspi.model.release import Release
from waspi.model.result import JobError

REMEMBERED: Final = 4
"""Lives that are over and kept for their reasons, for each module."""
MAX_REASON: Final = 500
"""Characters."""


@dataclass(frozen=True, slots=True)
class Life:
    """A release, where it is in its life, and which deployment asked for it."""

    release: Release
    """Without golden pairs: those lie in a file of their own until they are needed."""
    state: ModuleState = ModuleState.FETCHED
    reason: str = ""
    """Why it was given up."""
    group: str = ""
    """The group whose deployment named it."""
    serial: int = 0
    """Of that deployment."""
    retry: int = 0
    """Of its entry: a given-up release is tried again when a deployment has a higher one."""
    barred: bool = False
    """Whether the release itself is to blame, so that only a higher ``retry`` brings it back."""
    proven: bool = False
    """Whether it has been through its trial."""
    jobs: int = 0
    """Jobs that ended well in its trial, since the agent started."""
    failures: int = 0
    """Jobs that failed through its fault in its trial."""

    @property
    def label(self) -> str:
        """``name@version`` (``str``)."""
        return self.release.label

    def become(self, state: ModuleState, reason: str = "", *, barred: bool = False) -> Life:
        """This life in another state. Raises :class:`IllegalTransitionError` when the table does not have it."""
        if not may_become(self.state, state):
            raise IllegalTransitionError(f"{self.label} cannot go from {self.state} to {state}; report this")
        return replace(self, state=state, reason=reason[:MAX_REASON], barred=barred)

    def serve_again(self) -> Life:
        """This retired life, back in service: active, or in its trial anew when a newer release cut that short."""
        if self.proven:
            return self.become(ModuleState.ACTIVE)
        return replace(self.become(ModuleState.TRIAL), jobs=0, failures=0)


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """Every life of one module that this device remembers, the oldest first."""

    name: str
    lives: tuple[Life, ...] = ()

    @property
    def trial(self) -> Life | None:
        """The life in its trial."""
        return self._in(ModuleState.TRIAL)

    @property
    def active(self) -> Life | None:
        """The life that has proved itself last."""
        return self._in(ModuleState.ACTIVE)

    @property
    def retired(self) -> Life | None:
        """The one before, kept to go back to."""
        return self._in(ModuleState.RETIRED)

    @property
    def candidate(self) -> Life | None:
        """The life on its way to its trial."""
        return next((life for life in self.lives if not life.state.final and not _past_tests(life.state)), None)

    @property
    def serving(self) -> Life | None:
        """The life that jobs by name run on."""
        return self.trial or self.active

    def of(self, version: str) -> Life | None:
        """The latest life of that version."""
        return next((life for life in reversed(self.lives) if life.release.version == version), None)

    @property
    def digests(self) -> tuple[str, ...]:
        """What must not be evicted: the bytes of every life that is not over."""
        return tuple(life.release.sha256 for life in self.lives if not life.state.final)

    def with_life(self, life: Life) -> ModuleRecord:
        """This record with ``life`` in place of the one of the same version, or added."""
        place = next((at for at, each in enumerate(self.lives) if each.release.version == life.release.version), None)
        kept = [each for each in self.lives if each.release.version != life.release.version]
        kept.insert(len(kept) if place is None else place, life)
        return replace(self, lives=tuple(kept))

    def without(self, life: Life) -> ModuleRecord:
        """This record without ``life``."""
        return replace(self, lives=tuple(each for each in self.lives if each is not life))

    def _in(self, state: ModuleState) -> Life | None:
        return next((life for life in self.lives if life.state is state), None)


class Act(StrEnum):
    """What is to be done for a life, once its record is on the disk."""

    ADOPT = "adopt"
    """Take the fetched bytes into the module cache; :func:`adopted` follows."""
    COMPILE = "compile"
    """Have the artifact made; :func:`compiled` follows."""
    TEST = "test"
    """Run the golden pairs; :func:`tested` follows."""
    BEGIN = "begin"
    """Call :func:`begin_trial`: the tests are passed."""
    SERVE = "serve"
    """Have jobs by name run on it."""
    WITHDRAW = "withdraw"
    """Jobs by name find nothing any more."""
    LET_GO = "let-go"
    """Its bytes are no longer needed."""
    TELL = "tell"
    """Say, once, that it was given up and why."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One act for one life."""

    act: Act
    life: Life


Step = tuple[ModuleRecord, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class TrialTerms:
    """When a trial is over."""

    jobs: int
    """Jobs that have to end well."""
    failures: int
    """Jobs that fail through the module's fault, and it is given up."""


def fetched(record: ModuleRecord, life: Life) -> Step:
    """The bytes of a release are on the disk, and they are those that were signed: its life begins."""
    effects: list[Effect] = []
    if record.candidate is not None:
        record, effects = _give_up(record, record.candidate, f"{life.label} came before its trial", barred=False)
    record = record.with_life(life)
    return record, (*effects, Effect(Act.ADOPT, life))


def adopted(record: ModuleRecord, version: str, error: JobError | None) -> Step:
    """The bytes are in the module cache, or not: ``error``."""
    return _advance(record, version, ModuleState.FETCHED, ModuleState.VERIFIED, Act.COMPILE, error)


def compiled(record: ModuleRecord, version: str, error: JobError | None) -> Step:
    """There is an artifact, or the compiler's ``error``."""
    return _advance(record, version, ModuleState.VERIFIED, ModuleState.COMPILED, Act.TEST, error)


def tested(record: ModuleRecord, version: str, error: JobError | None, *, blamed: bool = False) -> Step:  # noqa: PT028
    """All golden pairs gave their outputs, or the first that did not: ``error``.

    ``blamed``: it is the module's doing (:attr:`waspi.sandbox.task.Done.blames_module`). A worker that dies over a pair
    is, as far as anybody can tell; one that never came up is not, and the release is tried again with the next look.
    """
    return _advance(record, version, ModuleState.COMPILED, ModuleState.TESTED, Act.BEGIN, error, barred=blamed)


def begin_trial(record: ModuleRecord, version: str) -> Step:
    """From now on real jobs run on it; one that is in its trial still makes way.

    That one is kept when it is all that has served: should the new one fail, there is something to go back to.
    """
    life = record.of(version)
    if life is None or life.state is not ModuleState.TESTED:
        return record, ()
    effects: list[Effect] = []
    if record.trial is not None and record.active is None:
        if record.retired is not None:
            effects.append(Effect(Act.LET_GO, record.retired))
            record = record.without(record.retired)
        if record.trial is not None:
            record = record.with_life(record.trial.become(ModuleState.RETIRED))
    elif record.trial is not None:
        record, effects = _give_up(record, record.trial, f"{life.label} came before its trial was over", barred=False)
        effects = [each for each in effects if each.act not in {Act.SERVE, Act.WITHDRAW}]
    life = replace(life.become(ModuleState.TRIAL), jobs=0, failures=0)
    return record.with_life(life), (*effects, Effect(Act.SERVE, life))


def job_ended(record: ModuleRecord, version: str, error: JobError | None, terms: TrialTerms) -> Step:
    """A job that ran on the release in its trial has ended, with ``error`` when it failed."""
    life = record.trial
    if life is None or life.release.version != version:
        return record, ()
    if error is None:
        life = replace(life, jobs=life.jobs + 1)
        record = record.with_life(life)
        return trial_over(record, version) if life.jobs >= terms.jobs else (record, ())
    if error.kind == WorkerError.kind:
        return _step(_give_up(record, life, f"it brought its worker down in its trial: {error.message}", barred=True))
    if error.fault is not Fault.GUEST and error.kind != CrashedDeviceError.kind:
        return record, ()
    life = replace(life, failures=life.failures + 1)
    record = record.with_life(life)
    if life.failures < terms.failures:
        return record, ()
    failed = f"{life.failures} jobs failed in its trial, the last with {error.kind}: {error.message}"
    return _step(_give_up(record, life, failed, barred=True))


def trial_over(record: ModuleRecord, version: str) -> Step:
    """The trial has lasted long enough: the release is active, the one before is kept, older ones may go."""
    life = record.trial
    if life is None or life.release.version != version:
        return record, ()
    effects = []
    oldest, before = record.retired, record.active
    if before is not None:
        if oldest is not None:
            record = record.without(oldest)
            effects.append(Effect(Act.LET_GO, oldest))
        record = record.with_life(before.become(ModuleState.RETIRED))
    life = replace(life.become(ModuleState.ACTIVE), proven=True)
    return record.with_life(life), (Effect(Act.SERVE, life), *effects)


def wanted(record: ModuleRecord, version: str, *, group: str, serial: int) -> Step:
    """A deployment names ``version``: what is on the way to another one makes way, an older release comes back.

    A release in its trial serves on until the other one is here, when there is none to go back to meanwhile.
    """
    effects: list[Effect] = []
    reason = f"deployment {serial} of group {group} names {version}"
    back = record.active or record.retired
    has_back = back is not None and (back.state is ModuleState.ACTIVE or back.release.version == version)
    for life in (record.candidate, record.trial if has_back else None):
        if life is not None and life.release.version != version:
            record, more = _give_up(record, life, reason, barred=False)
            effects += more
    life = record.retired
    if life is not None and life.release.version == version:
        before = record.active
        if before is not None and life.proven:
            record = record.with_life(before.become(ModuleState.RETIRED))
        life = replace(life.serve_again(), group=group, serial=serial)
        record = record.with_life(life)
        effects.append(Effect(Act.SERVE, life))
    return record, tuple(effects)


def unwanted(record: ModuleRecord) -> Step:
    """No deployment names the module any more: it is taken off the device."""
    gone = [Effect(Act.LET_GO, life) for life in record.lives if not life.state.final]
    serving = record.serving
    withdrawn = [Effect(Act.WITHDRAW, serving)] if serving is not None else []
    return replace(record, lives=()), (*withdrawn, *gone)


def refused(record: ModuleRecord, life: Life, error: JobError) -> Step:
    """A wanted release could not even be fetched, for a reason that another try would not change."""
    before = record.of(life.release.version)
    if before is not None and (not before.state.final or before.reason == error.message):
        return record, ()
    return _step(_give_up(record.with_life(life), life, error.message, barred=_is_to_blame(error)))


def before_serving(record: ModuleRecord) -> Life | None:
    """The life that a rollback goes back to, or ``None``."""
    return (record.active if record.trial is not None else None) or record.retired


def roll_back(record: ModuleRecord, version: str, *, retry: int = 0, force: bool = False) -> Step:
    """Somebody on the device wants the release before ``version`` back; nothing to do when that serves no more.

    Raises :class:`UsageError` when there is none before it, unless ``force`` says that none shall serve then.
    """
    serving = record.serving
    if serving is None or (serving.release.version, serving.retry) != (version, retry):
        return record, ()
    if before_serving(record) is None and not force:
        raise UsageError(
            f"{serving.label} is the only release of {record.name} that has served here: there is none to go back to; "
            "with --force it is withdrawn all the same"
        )
    return _step(_give_up(record, serving, "rolled back on the device", barred=True))


def resume(record: ModuleRecord) -> tuple[Effect, ...]:
    """What a record from the disk still owes after a start."""
    owed = {
        ModuleState.FETCHED: Act.ADOPT,
        ModuleState.VERIFIED: Act.COMPILE,
        ModuleState.COMPILED: Act.TEST,
        ModuleState.TESTED: Act.BEGIN,
    }
    effects = [Effect(Act.SERVE, record.serving)] if record.serving is not None else []
    if record.candidate is not None:
        effects.append(Effect(owed[record.candidate.state], record.candidate))
    return tuple(effects)


def barred(record: ModuleRecord) -> tuple[tuple[str, int], ...]:
    """Versions that were given up, each with the ``retry`` that a deployment has to pass."""
    return tuple((life.release.version, life.retry) for life in record.lives if life.state.final and life.barred)


def golden_failure(number: int, of: int, output: bytes, expected: bytes) -> JobError:
    """What is wrong with the ``number``-th of ``of`` golden pairs."""
    at = next((at for at, (one, two) in enumerate(zip(output, expected, strict=False)) if one != two), None)
    where = f"they differ from byte {at} on" if at is not None else "one is the beginning of the other"
    return JobError(
        Fault.GUEST,
        GoldenPairError.kind,
        f"golden pair {number} of {of} gave {len(output)} bytes where {len(expected)} are expected; {where}",
    )


def _advance(
    record: ModuleRecord,
    version: str,
    now: ModuleState,
    then: ModuleState,
    act: Act,
    error: JobError | None,
    *,
    barred: bool = False,
) -> Step:
    life = record.of(version)
    if life is None or life.state is not now:
        return record, ()  # it was given up meanwhile
    if error is not None:
        return _step(_give_up(record, life, error.message, barred=barred or _is_to_blame(error)))
    life = life.become(then)
    return record.with_life(life), (Effect(act, life),)


def _give_up(record: ModuleRecord, life: Life, reason: str, *, barred: bool) -> tuple[ModuleRecord, list[Effect]]:
    served = life.state.serving
    over = life.become(ModuleState.ROLLED_BACK if served else ModuleState.FAILED, reason, barred=barred)
    record = record.with_life(over)
    effects = [Effect(Act.TELL, over), Effect(Act.LET_GO, over)]
    if served:
        good = record.active or record.retired
        if good is None:
            effects.insert(0, Effect(Act.WITHDRAW, over))
        else:
            if good.state is ModuleState.RETIRED:
                good = good.serve_again()
                record = record.with_life(good)
            effects.insert(0, Effect(Act.SERVE, good))
    ended = [each for each in record.lives if each.state.final]
    for each in ended[:-REMEMBERED]:
        record = record.without(each)
    return record, effects


def _step(given_up: tuple[ModuleRecord, list[Effect]]) -> Step:
    record, effects = given_up
    return record, tuple(effects)


def _is_to_blame(error: JobError) -> bool:
    """Whether another try at the same release would end the same: not when the disk was full, say."""
    return error.fault is Fault.GUEST or error.kind == CompileError.kind


def _past_tests(state: ModuleState) -> bool:
    return state in {ModuleState.TRIAL, ModuleState.ACTIVE, ModuleState.RETIRED}
