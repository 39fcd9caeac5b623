"""Durations as people write them."""

from __future__ import annotations

import re

from waspi.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])").fullmatch


def seconds(text: str) -> float:
    """Read ``90s``, ``10m``, ``1.5h`` or ``2d``; raises :class:`UsageError`."""
    match = _DURATION(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no duration; write 90s, 10m, 1.5h or 2d")
    return float(match[1]) * _UNITS[match[2]]
