"""Timing of calls, kept as one number a call."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

from waspi.errors import GuestError
from waspi.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from waspi.engine import Module

NS_PER_S = 1_000_000_000
NS_PER_US = 1_000
MOST_CALLS = 1_000_000
"""Calls that are kept: 8 MB of figures, enough for any percentile."""


@dataclass(frozen=True, slots=True)
class CallTiming:
    """Durations of calls in nanoseconds, sorted; ``instances`` is how many instances they took."""

    durations_ns: array[int]
    instances: int

    @property
    def calls(self) -> int:
        """How many calls were timed."""
        return len(self.durations_ns)

    @property
    def per_second(self) -> float:
        """Calls in one second of nothing but calls."""
        return self.calls * NS_PER_S / max(1, sum(self.durations_ns))

    def percentile_us(self, part: float) -> float:
        """Microseconds that ``part`` (0..1) of the calls did not pass (nearest rank)."""
        return self.durations_ns[min(self.calls - 1, int(self.calls * part))] / NS_PER_US

    def as_json(self) -> dict[str, object]:
        """Give the figures for scripts."""
        percentiles = {f"p{part * 100:g}_us": self.percentile_us(part) for part in (0.5, 0.9, 0.99)}
        return {
            "calls": self.calls,
            "calls_per_s": round(self.per_second, 1),
            **percentiles,
            "max_us": self.percentile_us(1.0),
            "instances": self.instances,
        }


def time_fresh(module: Module, data: bytes, seconds: float) -> CallTiming:
    """Time calls on a fresh instance each, for ``seconds``."""
    durations = array("q")
    end = perf_counter_ns() + int(seconds * NS_PER_S)
    while True:
        start = perf_counter_ns()
        if (start >= end and durations) or len(durations) >= MOST_CALLS:
            break
        module.run(data)
        durations.append(perf_counter_ns() - start)
    return CallTiming(array("q", sorted(durations)), instances=len(durations))


def time_warm(module: Module, data: bytes, seconds: float) -> CallTiming:
    """Time calls on one instance, for ``seconds``.

    A guest that never frees its buffers fills its memory in the end; it then gets a new instance, outside the timing.
    Raises what the first call of an instance raises.
    """
    durations = array("q")
    end = perf_counter_ns() + int(seconds * NS_PER_S)
    instances = 0
    while perf_counter_ns() < end and len(durations) < MOST_CALLS:
        instance = module.instantiate(limits=DEFAULT_LIMITS)
        instances += 1
        instance.run(data)  # the first call touches memory for the first time: it is the fresh one's business
        run = instance.run
        try:
            while True:
                start = perf_counter_ns()
                if (start >= end and durations) or len(durations) >= MOST_CALLS:
                    break
                run(data)
                durations.append(perf_counter_ns() - start)
        except GuestError:
            if not durations:
                raise
    return CallTiming(array("q", sorted(durations)), instances=instances)
