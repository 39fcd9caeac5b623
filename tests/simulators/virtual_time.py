"""Time that passes only when a test says so, and a selector that never waits."""

from __future__ import annotations

import selectors


class VirtualTime:
    """A wall clock and a monotonic one; :meth:`advance` moves both, :meth:`set_wall` only the first."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self._wall = wall
        self._monotonic = 1_000.0

    def wall(self) -> float:
        """Unix seconds."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, wall: float) -> None:
        """Somebody sets the clock."""
        self._wall = wall


class InstantSelector(selectors.DefaultSelector):
    """Tells what is ready now, whatever the timeout."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # noqa: ARG002 - the point
        return super().select(0)
