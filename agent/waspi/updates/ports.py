"""What updates need of the agent around them."""

from __future__ import annotations

from typing import Protocol

from waspi.model.release import Release


class Serving(Protocol):
    """Who decides what a module's name stands for."""

    def serve(self, release: Release, *, trial: bool, others: tuple[Release, ...]) -> None:
        """Have jobs by name run on ``release``; ``others`` are run when a job names their version."""

    def withdraw(self, name: str) -> None:
        """The name stands for nothing any more."""

    def fixed(self) -> tuple[str, ...]:
        """Modules that the device's configuration names itself, so that no deployment does."""


class Surroundings(Protocol):
    """What the agent offers."""

    @property
    def online(self) -> bool:
        """Whether the broker is connected."""

    def ask_depot(self, request: bytes) -> None:
        """Publish a request to the depots."""

    def changed(self) -> None:
        """Reported state is to be published: it is not what it was."""

    def raise_floor(self, seen: float) -> None:
        """So many Unix seconds have certainly passed."""
