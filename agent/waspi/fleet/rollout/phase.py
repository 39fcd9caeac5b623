"""The life of a rollout, and the one table of its transitions."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a rollout is. A phase is on disk before the act that it stands for."""

    DEPLOYING = "DEPLOYING"
    """The deployment of the present stage is to be published."""
    WATCHING = "WATCHING"
    """The stage's devices take the release."""
    SOAKING = "SOAKING"
    """All of them have; it must stay so for the soak time."""
    PAUSED = "PAUSED"
    """Too many devices are lost: it goes on by itself when they are back."""
    ABORTING = "ABORTING"
    """It failed on too many devices, or somebody said so: the deployment that takes it back is to be published."""
    RETURNING = "RETURNING"
    """The devices go back to what they ran before."""
    ABORTED = "ABORTED"
    """They have, as far as they can be reached."""
    DONE = "DONE"
    """The last stage has soaked."""

    @property
    def final(self) -> bool:
        """Whether no transition leaves this phase (``bool``)."""
        return not TRANSITIONS[self]

    @property
    def goes_back(self) -> bool:
        """Whether the release is being taken back, or was (``bool``)."""
        return self in {Phase.ABORTING, Phase.RETURNING, Phase.ABORTED}

    @property
    def acts(self) -> bool:
        """Whether something has to be published in this phase (``bool``)."""
        return self in {Phase.DEPLOYING, Phase.ABORTING}


TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.DEPLOYING: frozenset({Phase.WATCHING, Phase.ABORTING}),
    Phase.WATCHING: frozenset({Phase.SOAKING, Phase.PAUSED, Phase.ABORTING}),
    # Back to WATCHING: devices came into the group, or one that was through began again.
    Phase.SOAKING: frozenset({Phase.DEPLOYING, Phase.DONE, Phase.WATCHING, Phase.PAUSED, Phase.ABORTING}),
    Phase.PAUSED: frozenset({Phase.WATCHING, Phase.ABORTING}),
    Phase.ABORTING: frozenset({Phase.RETURNING}),
    Phase.RETURNING: frozenset({Phase.ABORTED}),
    Phase.ABORTED: frozenset(),
    Phase.DONE: frozenset(),
}
