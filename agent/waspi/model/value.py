"""Values of the hot path: frozen to the type checker, cheap at run time.

A frozen dataclass sets each attribute by way of ``object.__setattr__``: 1.6 us for twelve of them instead of 0.4, and a
job makes some thirty values. mypy, which checks every line of this program, refuses an assignment either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """A dataclass with slots, equality and a hash, whose attributes nobody may assign to."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
