"""How many bytes may be sent: a token bucket."""

from __future__ import annotations


class Allowance:
    """``rate`` bytes a second, and ``burst`` bytes at once after a pause. Time comes in as an argument (seconds)."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._held = burst
        self._at = now

    def wait(self, size: int, now: float) -> float:
        """Seconds until ``size`` bytes may be sent; 0: now. More than the burst may go when the bucket is full."""
        self._held = min(self._burst, self._held + max(0.0, now - self._at) * self._rate)
        self._at = now
        short = min(size, self._burst) - self._held
        return max(0.0, short / self._rate)

    def spend(self, size: int) -> None:
        """``size`` bytes are sent."""
        self._held -= size
