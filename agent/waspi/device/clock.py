"""The device's idea of the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

RELEASED: Final = 1_767_225_600.0
"""Unix seconds of 2026-01-01: no device ran this release before."""


class Clock:
    """Wall time that never lies below a floor, and monotonic time for everything that has to elapse.

    A board without a hardware clock wakes in the past. The floor is a time that has certainly passed: when this release
    was made, and every time stamp in signed metadata that was accepted; from there it rises with the seconds that pass.
    It is never taken from the clock itself, so a clock that once jumped forward does not stay in the future.
    """

    def __init__(
        self,
        floor: float = RELEASED,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._floor = floor
        self._floor_at = monotonic()

    @property
    def floor(self) -> float:
        """Unix seconds (``float``) that have certainly passed."""
        return self._floor + self.monotonic() - self._floor_at

    def raise_floor(self, seen: float) -> None:
        """Signed metadata says that ``seen`` (Unix seconds) has passed."""
        if seen > self.floor:
            self._floor = seen
            self._floor_at = self.monotonic()

    def now(self) -> float:
        """Unix seconds (``float``), not before the floor."""
        return max(self._wall(), self.floor)

    @property
    def plausible(self) -> bool:
        """Whether the clock is above the floor: if not, it was never set."""
        return self._wall() >= self.floor
