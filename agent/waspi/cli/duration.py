"""Durations as people write them: one spelling for every option."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from waspi.errors import UsageError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])").fullmatch
LONGEST_S: Final = 3650 * 86400.0


def seconds(text: str | float) -> float:
    """Read ``500ms``, ``90s``, ``10m``, ``1.5h`` or ``2d``, up to ten years, as seconds.

    A number is an option's own default and passes. Raises :class:`UsageError`.
    """
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no duration; write 500ms, 90s, 10m, 1.5h or 2d")
    value = float(match[1]) * _UNITS[match[2]]
    if not value <= LONGEST_S:
        raise UsageError(f"{text!r} is longer than ten years")
    return value


WaitOption = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="TIME", parser=seconds, show_default=False, help="How long to wait: 500ms, 10s, 2m."
    ),
]
