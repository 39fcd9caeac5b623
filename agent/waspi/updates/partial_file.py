"""A file that arrives in ranges, in any order, over as many starts and power cuts as it takes.

Beside the bytes lies a map with the CRC-32 of each range that came. After a power cut a range counts only when its
bytes on the disk still have that checksum: so nothing needs to be synced before the file is whole, and what the disk
lost is asked for again. Whether the whole is what was signed, the signature's hash says.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Final, Self

from waspi.errors import StorageError
from waspi.updates.source import Range, ranges_of

_HEAD: Final = Struct("<8sQII")
"""Magic, length of the file, bytes of a range, CRC-32 of these: a map that was half written is none."""
_ENTRY: Final = Struct("<II")
"""1 when the range came, and its CRC-32."""
_MAGIC: Final = b"waspiMP1"


class PartialFile:
    """The file at ``path`` until it is whole; its map lies beside it with the suffix ``.map``."""

    def __init__(self, path: Path, length: int, range_bytes: int) -> None:
        """Take up what is there of it, or begin. Raises ``StorageError``."""
        self._path = path
        self._map_path = path.with_name(f"{path.name}.map")
        self._ranges = ranges_of(length, range_bytes)
        self._length = length
        self._range_bytes = range_bytes
        self._data = self._map = -1
        try:
            self._data = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._map = os.open(self._map_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._missing = self._take_up()
        except OSError as error:
            self.close()
            raise self._failed(error) from error

    @property
    def missing(self) -> list[Range]:
        """What has not come yet, in order."""
        return sorted(self._missing)

    def put(self, offset: int, data: bytes) -> None:
        """A range came; one that is not missing, or not as long as it should be, is dropped. ``StorageError``."""
        this = Range(offset, len(data))
        if this not in self._missing:
            return
        try:
            _write_at(self._data, data, offset)
            number = offset // self._range_bytes
            _write_at(self._map, _ENTRY.pack(1, zlib.crc32(data)), _HEAD.size + number * _ENTRY.size)
        except OSError as error:
            raise self._failed(error) from error
        self._missing.discard(this)

    def finish(self, target: Path) -> None:
        """All is there, and is what it should be: make its bytes durable and give it its final name.

        The name is as durable as whatever is synced next on this file system; when a power cut takes it back, the file
        is fetched again. Raises ``StorageError``.
        """
        try:
            os.ftruncate(self._data, self._length)
            os.fsync(self._data)
            self._path.replace(target)
            self._map_path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error
        self.close()

    def discard(self) -> None:
        """It is not what it should be: nothing of it is kept. Raises ``StorageError``."""
        self.close()
        try:
            self._map_path.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the files; what came stays for the next time."""
        for descriptor in (self._data, self._map):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._map = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_up(self) -> set[Range]:
        sizes = (self._length, self._range_bytes)
        head = _HEAD.pack(_MAGIC, *sizes, zlib.crc32(b"%d %d" % sizes))
        entries = os.pread(self._map, _HEAD.size + len(self._ranges) * _ENTRY.size, 0)
        if entries[: _HEAD.size] != head:
            os.ftruncate(self._data, 0)
            os.ftruncate(self._map, 0)
            _write_at(self._map, head + bytes(len(self._ranges) * _ENTRY.size), 0)
            return set(self._ranges)
        entries = entries[_HEAD.size :].ljust(len(self._ranges) * _ENTRY.size, b"\0")
        missing = set()
        for (came, checksum), each in zip(_ENTRY.iter_unpack(entries), self._ranges, strict=True):
            if not came or zlib.crc32(os.pread(self._data, each.length, each.offset)) != checksum:
                missing.add(each)
        return missing

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(f"cannot keep {self._path.name}: {error.strerror or error}; check free space of the disk")


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count
