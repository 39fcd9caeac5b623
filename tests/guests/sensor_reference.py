"""What ``guests/sensor_stats`` must give, by Python's own ``json`` and ``statistics``."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any


def percentile(ordered: list[float], share: float) -> float:
    """Linear interpolation between the nearest ranks."""
    rank = share * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def sensor_stats(text: str) -> dict[str, Any]:
    """Statistics over a JSON array of numbers, nulls and objects with a ``value``."""
    values: list[float] = []
    skipped = 0
    for reading in json.loads(text):
        value = reading.get("value") if isinstance(reading, dict) else reading
        if isinstance(value, bool) or not isinstance(value, int | float):
            skipped += 1
        else:
            values.append(float(value))
    result: dict[str, Any] = dict.fromkeys(["min", "max", "mean", "stddev", "p50", "p90", "p99"])
    result |= {"count": len(values), "skipped": skipped}
    if values:
        values.sort()
        result |= {"min": values[0], "max": values[-1], "mean": statistics.fmean(values)}
        result |= {"stddev": statistics.pstdev(values)}
        result |= {f"p{share}": percentile(values, share / 100) for share in (50, 90, 99)}
    return result
