"""Counters that only rise, also when the journal is lost: their second durable place is a small file of its own.

The file holds *reserved* values: at least as high as any value that was ever in use, and raised :data:`STEP` at a time,
so that it is written once per thousand jobs. After the journal was lost, counting goes on from the reserved values:
ids are never used twice and no total ever falls, but totals may then be up to :data:`STEP` too high.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from waspi.errors import StorageError
from waspi.journal.durable import write_durably

STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals over the whole life of the device."""

    boots: int = 0
    """How often the journal was opened by the service; also the number of this boot."""
    next_seq: int = 1
    """Number that the next job gets."""
    next_outbox: int = 1
    """Number that the next message gets."""
    received: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    rejected: int = 0
    canceled: int = 0
    expired: int = 0

    def at_least(self, other: Counters) -> Counters:
        """The higher of both, counter by counter."""
        return Counters(*(max(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def covers(self, other: Counters) -> bool:
        """Whether no counter of ``other`` is higher (``bool``)."""
        return all(getattr(self, name) >= getattr(other, name) for name in self.__slots__)


class CounterFile:
    """The second place. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reserved = Counters()

    def read(self) -> str | None:
        """Load the reserved values; what is wrong with the file (``str``), or ``None`` when it is sound or absent.

        Raises :class:`~waspi.errors.StorageError` when the disk does not answer.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {error.strerror}; check the disk and the owner") from error
        try:
            self.reserved = _decoded(text)
        except (ValueError, TypeError) as error:
            return f"{self.path.name} is damaged ({error}); counters go on from the journal"
        return None

    def reserve(self, used: Counters) -> None:
        """Make the reserved values cover ``used``; to be called *before* ``used`` is committed.

        Raises :class:`~waspi.errors.StorageError`; the reserved values are then what they were.
        """
        if self.reserved.covers(used):
            return
        ahead = Counters(*(getattr(used, f.name) + STEP for f in fields(used)))
        ahead = Counters(**{**asdict(ahead), "boots": used.boots}).at_least(self.reserved)
        write_durably(self.path, json.dumps(asdict(ahead)).encode())
        self.reserved = ahead


def _decoded(text: bytes) -> Counters:
    values = json.loads(text)
    if not isinstance(values, dict) or not all(type(v) is int and 0 <= v < 1 << 62 for v in values.values()):
        raise ValueError("a counter is no number")
    return Counters(**values)
