"""What a disk may hold after the power went, built from the log that faultfs.c records.

What was synced is there. Of what was written to a file after its last sync, any subset of sectors may have arrived,
in any order. Names (create, rename, delete) are kept in order, as a journaling file system does; those since the last
sync of anything may be missing from the end. Harsher than ext4 in its default mode, milder than a lying disk.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = struct.Struct("<cIIQQ")
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Change:
    """One call: Write, Sync, Truncate, Create, Rename, Unlink or Note, by its first letter."""

    kind: str
    path: Path
    second: Path | None
    offset: int
    data: bytes


def changes(log: Path) -> Iterator[Change]:
    """The recorded changes, in order."""
    raw = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(raw):
        kind, path_length, second_length, offset, size = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        path, at = raw[at : at + path_length].decode(), at + path_length
        second, at = raw[at : at + second_length].decode(), at + second_length
        data, at = raw[at : at + size], at + size
        yield Change(kind.decode(), Path(path), Path(second) if second else None, offset, data)


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes] | int] = field(default_factory=list)
    """Writes as (offset, sector), truncations as the new size."""


class Disk:
    """A folder's files, and how much of them would survive."""

    def __init__(self) -> None:
        self.names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._unsynced_names: list[dict[Path, _File]] = []

    def apply(self, change: Change) -> None:
        """The next change reaches the kernel."""
        match change.kind:
            case "C":
                self.names = {**self.names, change.path: _File()}
                self._unsynced_names.append(self.names)
            case "R":
                assert change.second is not None
                names = dict(self.names)
                names[change.second] = names.pop(change.path)
                self.names = names
                self._unsynced_names.append(names)
            case "U":
                self.names = {path: file for path, file in self.names.items() if path != change.path}
                self._unsynced_names.append(self.names)
            case "W" | "T" if change.path in self.names:
                file = self.names[change.path]
                if change.kind == "T":
                    file.unsynced.append(change.offset)
                for start in range(0, len(change.data), SECTOR):
                    file.unsynced.append((change.offset + start, change.data[start : start + SECTOR]))
            case "S":
                self._durable_names = self.names
                self._unsynced_names.clear()
                if change.path in self.names:
                    file = self.names[change.path]
                    _play(file.durable, file.unsynced)
                    file.unsynced.clear()

    def cut(self, chance: random.Random, root: Path, target: Path) -> None:
        """Write to ``target`` one state of ``root`` that the disk could be in if the power went now."""
        candidates = [self._durable_names, *self._unsynced_names]
        names = candidates[chance.randrange(len(candidates))]
        survival = chance.choice((0.0, 0.5, 0.9, 1.0))
        for path, file in names.items():
            if path.name.endswith("-shm"):  # memory, not state: SQLite builds it anew
                continue
            content = bytearray(file.durable)
            _play(content, [change for change in file.unsynced if chance.random() < survival])
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _play(content: bytearray, unsynced: list[tuple[int, bytes] | int]) -> None:
    for change in unsynced:
        if isinstance(change, int):
            del content[change:]
            content.extend(bytes(change - len(content)))
        else:
            offset, data = change
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
