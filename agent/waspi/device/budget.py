"""What all jobs of the device together may take: guest time per minute, and memory at once."""

from __future__ import annotations

_MINUTE_S = 60.0


class Budget:
    """A token bucket of guest milliseconds and a ceiling on the memory limits of what runs.

    ``run_ms_per_minute`` and ``memory_bytes`` of 0 mean: no bound. A spent budget delays jobs, it fails none: time that
    a job takes beyond what was left is paid back by those after it.
    """

    def __init__(self, run_ms_per_minute: int, memory_bytes: int, now: float) -> None:
        self._per_minute = run_ms_per_minute
        self._memory = memory_bytes
        self._left_ms = float(run_ms_per_minute)
        self._seen = now
        self._in_use = 0

    def admits(self, memory_bytes: int, now: float) -> bool:
        """Whether a job with that memory limit may start now; one alone always may, as far as memory goes."""
        if self._memory and self._in_use and self._in_use + memory_bytes > self._memory:
            return False
        if not self._per_minute:
            return True
        self._left_ms = min(self._per_minute, self._left_ms + (now - self._seen) * self._per_minute / _MINUTE_S)
        self._seen = now
        return self._left_ms > 0

    def begin(self, memory_bytes: int) -> None:
        """A job starts."""
        self._in_use += memory_bytes

    def end(self, memory_bytes: int, run_us: int) -> None:
        """A job has ended after ``run_us`` microseconds in the guest."""
        self._in_use -= memory_bytes
        self._left_ms -= run_us / 1000

    def next_deadline(self, now: float) -> float | None:
        """When spent time will be there again; ``None`` while there is some, or no bound."""
        if not self._per_minute or self._left_ms > 0:
            return None
        return now + (1 - self._left_ms) * _MINUTE_S / self._per_minute
