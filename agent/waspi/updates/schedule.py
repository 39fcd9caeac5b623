"""When to look for updates: no clock of its own, every method is told the time."""

from __future__ import annotations

import random
from dataclasses import dataclass

from waspi.backoff import Backoff

_JITTER = 0.1
"""Of the interval: so that devices that started together do not ask together for ever."""


@dataclass(frozen=True, slots=True)
class ScheduleTerms:
    """How often."""

    interval_s: float
    """Between two checks when nothing is announced."""
    spread_s: float
    """An announcement reaches a whole fleet at once: each device waits up to so long, by chance."""
    gap_s: float = 2.0
    """At least so long between the end of a check and the next, whatever is announced."""
    retry_s: float = 15.0
    """After a check that failed; doubled each time, up to the interval."""


class Schedule:
    """Tells when the next check is due, on a monotonic clock."""

    def __init__(self, terms: ScheduleTerms, now: float, rng: random.Random | None = None) -> None:
        """The first check is due within the spread: a device that starts wants to know."""
        self._terms = terms
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._retry = Backoff(terms.retry_s, terms.interval_s, self._rng)
        self._earliest = now
        self._again = False
        self.running = False
        """Whether a check is under way."""
        self.due = now + self._rng.uniform(0, terms.spread_s)
        """When the next one is due, in seconds of the caller's clock."""

    def announced(self, now: float) -> None:
        """There is something new in the repository; one that comes during a check counts after it."""
        if self.running:
            self._again = True
        else:
            self.due = min(self.due, max(self._earliest, now + self._rng.uniform(0, self._terms.spread_s)))

    def asked(self, now: float) -> None:
        """Somebody on the device wants to know now."""
        self._again = self.running
        self.due = now

    def begin(self) -> None:
        """A check begins."""
        self.running = True
        self._again = False

    def ended(self, now: float, *, well: bool) -> None:
        """The check is over; ``well``: there is nothing left to do until something new comes."""
        self.running = False
        self._earliest = now + self._terms.gap_s
        if well:
            self._retry.reset()
            wait = self._terms.interval_s * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
        else:
            wait = self._retry.next()
        self.due = now + max(wait, self._terms.gap_s)
        if self._again:
            self.announced(now)
