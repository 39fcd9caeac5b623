"""One measured quantity: many samples, told by their median and their spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUARTER, _HALF = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    """``what`` of ``subject``, for example the warm call of wasmtime-py. ``low`` and ``high`` are the quartiles."""

    subject: str
    what: str
    unit: str
    median: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, subject: str, what: str, unit: str, samples: Sequence[float]) -> Figure:
        """Sum up samples; raises ``ValueError`` when there are none."""
        return cls(
            subject,
            what,
            unit,
            percentile(samples, _HALF),
            percentile(samples, _QUARTER),
            percentile(samples, 1 - _QUARTER),
            len(samples),
        )


def percentile(samples: Sequence[float], part: float) -> float:
    """The value that ``part`` (0..1) of the samples do not pass (nearest rank); ``ValueError`` without samples."""
    if not samples:
        raise ValueError("a figure needs samples")
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * part))]


def shown(value: float, unit: str) -> str:
    """Three significant digits with the unit: ``0.84 us``, ``1,230 /s``."""
    digits = max(0, 2 - len(f"{abs(value):.0f}") + 1) if abs(value) >= 1 else 2
    return f"{value:,.{digits}f} {unit}"
