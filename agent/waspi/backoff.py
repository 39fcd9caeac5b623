"""How long to wait before the next try: exponential with full jitter."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from ``first`` to ``longest`` seconds, each drawn evenly from its upper half.

    The jitter keeps ten thousand boards from coming back in the same second after a broker's restart.
    """

    def __init__(self, first: float = 1.0, longest: float = 60.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._longest = longest
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._tries = 0

    def next(self, at_least: float = 0.0) -> float:
        """The next delay in seconds (``float``)."""
        ceiling = min(self._longest, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return max(at_least, self._rng.uniform(ceiling / 2, ceiling))

    def reset(self) -> None:
        """Start from the first delay again: the last try worked."""
        self._tries = 0
