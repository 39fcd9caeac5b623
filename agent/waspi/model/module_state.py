"""The life of a module release on a device and the one table of its transitions (``protocol`` page, "Updates")."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ModuleState(StrEnum):
    """Where a release is in its life on one device.

    The state is on disk before the act that it stands for begins: a release that is TRIAL on disk may have served jobs,
    one that is TESTED has not. A life begins with FETCHED; the last two are final, and a new attempt at the same
    release is a new life.
    """

    FETCHED = "FETCHED"
    """The bytes are on disk, as long as the signed metadata says."""
    VERIFIED = "VERIFIED"
    """Their SHA-256 is the one of the signed metadata."""
    COMPILED = "COMPILED"
    """The artifact for this engine is in the cache."""
    TESTED = "TESTED"
    """Every golden pair gave its output, in the sandbox, with the release's own limits."""
    TRIAL = "TRIAL"
    """Real jobs run on it; the last good release stands by."""
    ACTIVE = "ACTIVE"
    """The one that jobs by name run on."""
    RETIRED = "RETIRED"
    """Served until a newer one did; kept as the last release that served, to go back to."""
    ROLLED_BACK = "ROLLED_BACK"
    """Given up after it had begun to serve, for the reason that goes with it; the last good release serves again."""
    FAILED = "FAILED"
    """Given up before it served, for the reason that goes with it."""

    @property
    def final(self) -> bool:
        """Whether no transition leaves this state (``bool``)."""
        return not TRANSITIONS[self]

    @property
    def serving(self) -> bool:
        """Whether jobs that name the module run on a release in this state (``bool``)."""
        return self in {ModuleState.TRIAL, ModuleState.ACTIVE}


_GIVEN_UP: Final = frozenset({ModuleState.ROLLED_BACK, ModuleState.FAILED})

TRANSITIONS: Final[dict[ModuleState, frozenset[ModuleState]]] = {
    ModuleState.FETCHED: _GIVEN_UP | {ModuleState.VERIFIED},
    ModuleState.VERIFIED: _GIVEN_UP | {ModuleState.COMPILED},
    ModuleState.COMPILED: _GIVEN_UP | {ModuleState.TESTED},
    ModuleState.TESTED: _GIVEN_UP | {ModuleState.TRIAL},
    # To RETIRED: a newer release begins its trial, and this one is all that has served so far.
    ModuleState.TRIAL: _GIVEN_UP | {ModuleState.ACTIVE, ModuleState.RETIRED},
    ModuleState.ACTIVE: _GIVEN_UP | {ModuleState.RETIRED},
    # Back: the release that replaced it was given up, or a deployment names the older one again. To TRIAL when its
    # own trial had been cut short.
    ModuleState.RETIRED: _GIVEN_UP | {ModuleState.ACTIVE, ModuleState.TRIAL},
    ModuleState.ROLLED_BACK: frozenset(),
    ModuleState.FAILED: frozenset(),
}


def may_become(now: ModuleState, then: ModuleState) -> bool:
    """Whether the table has a transition from ``now`` to ``then``."""
    return then in TRANSITIONS[now]
