"""One release's life on this device, and all the lives of one module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from waspi.errors import IllegalTransitionError
from waspi.model.module_state import ModuleState, may_become
from waspi.model.release import Release

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
        """The one before."""
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


def _past_tests(state: ModuleState) -> bool:
    return state in {ModuleState.TRIAL, ModuleState.ACTIVE, ModuleState.RETIRED}
