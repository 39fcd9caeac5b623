"""Whether answers can reach this client: proven before the first job goes out.

A broker may say yes to a subscription and still deliver nothing (mosquitto checks its access list only when it
delivers), so a probe is published to the client's own reply topic; when it comes back, answers will too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from waspi.errors import OperatorError
from waspi.protocol.ids import is_id


class PathState(StrEnum):
    """Where the proof is."""

    DOWN = "down"
    """No connection."""
    SUBSCRIBING = "subscribing"
    PROBING = "probing"
    OPEN = "open"
    """Answers can come."""
    BLOCKED = "blocked"
    """The broker refuses or keeps the answers: its access list needs a line. A probe that comes back late opens it."""


TRANSITIONS: Final[dict[PathState, frozenset[PathState]]] = {
    PathState.DOWN: frozenset({PathState.SUBSCRIBING}),
    PathState.SUBSCRIBING: frozenset({PathState.PROBING, PathState.BLOCKED, PathState.DOWN}),
    # To OPEN also when the broker refuses the probe itself: answers are published by devices, not by this client.
    PathState.PROBING: frozenset({PathState.OPEN, PathState.BLOCKED, PathState.DOWN}),
    PathState.OPEN: frozenset({PathState.DOWN}),
    PathState.BLOCKED: frozenset({PathState.OPEN, PathState.DOWN}),
}


class ReplyPath:
    """The topics that answers to one client come on: ``reply/<client>/<device>``, one for each device.

    The access list lets a device write its own alone, so the topic tells who answered.
    """

    def __init__(self, client_id: str) -> None:
        self.state = PathState.DOWN
        self.folder: Final = f"reply/{client_id}/"
        """Response Topic of every request: a folder, below which each device answers on its own id."""
        self.filter: Final = f"{self.folder}+"
        self.probe: Final = f"{self.folder}~probe"
        """Where the client answers itself; no device has such an id."""

    @property
    def open(self) -> bool:
        """Whether answers can come."""
        return self.state is PathState.OPEN

    def device_of(self, topic: str) -> str | None:
        """The device that answers on ``topic``; ``None`` when the topic is none of these."""
        device = topic.removeprefix(self.folder)
        return device if topic.startswith(self.folder) and is_id(device) else None

    def become(self, state: PathState) -> None:
        """Take a transition of the table; raises :class:`OperatorError` for any other and stays as it is."""
        if state is self.state is PathState.DOWN:
            return
        if state not in TRANSITIONS[self.state]:
            raise OperatorError(f"reply path: no transition from {self.state} to {state}")
        self.state = state
