"""What a figure shall be, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """``value`` shall be at most, or at least, ``bound``; both in ``unit`` (``x``: a ratio)."""

    name: str
    value: float
    bound: float
    unit: str
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def sign(self) -> str:
        """How the bound is read."""
        return "≤" if self.at_most else "≥"
