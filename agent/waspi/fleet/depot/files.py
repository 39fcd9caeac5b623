"""The files of a repository, read in ranges: read-only, within its folder, with bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from waspi.errors import RepositoryError
from waspi.protocol.depot import MAX_FILE, Refusal, RefusalKind, TimestampNotice, compress
from waspi.protocol.repository_path import TIMESTAMP, is_repository_path

MOST_OPEN: Final = 64
"""Files that are kept open."""
CACHE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of compressed ranges that are kept: fifty devices that update at once ask for the same ones."""


class RangeRefused(Exception):  # noqa: N818 - an answer, not an error
    """The range cannot be given; ``refusal`` is what the device is told."""

    def __init__(self, kind: RefusalKind, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(kind, message)


class Timestamp(NamedTuple):
    """What ``timestamp.json`` says."""

    notice: TimestampNotice
    expires: datetime
    """From then on devices take no update on it."""


class RepositoryFiles:
    """One repository's folder. Used by one thread.

    Every file but the timestamp keeps its bytes for ever, since its name holds its version or hash: so it may stay
    open, and what was read of it may be kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RepositoryError(f"cannot read the repository {folder}: {error.strerror}") from error
        self._open: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._packed: OrderedDict[tuple[str, int, int], bytes | None] = OrderedDict()
        self._packed_bytes = 0

    def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """Up to ``length`` bytes at ``offset`` and the file's size; raises :class:`RangeRefused`."""
        if not is_repository_path(path):
            raise RangeRefused(RefusalKind.NOT_FOUND, "no path of a repository")
        try:
            if path == TIMESTAMP:  # replaced by every publication: what is open is an old one
                descriptor, size = self._open_file(path)
                try:
                    return self._range(descriptor, size, offset, length)
                finally:
                    os.close(descriptor)
            if path not in self._open:
                self._keep(path, *self._open_file(path))
            self._open.move_to_end(path)
            return self._range(*self._open[path], offset, length)
        except (FileNotFoundError, NotADirectoryError):
            raise RangeRefused(RefusalKind.NOT_FOUND, "no such file") from None
        except OSError as error:
            raise RangeRefused(RefusalKind.UNREADABLE, f"cannot read it: {error.strerror}") from error

    def packed(self, path: str, offset: int, data: bytes) -> bytes | None:
        """``data``, which :meth:`read` gave, compressed; ``None`` where that does not help."""
        if path == TIMESTAMP:
            return None
        key = (path, offset, len(data))
        if key in self._packed:
            self._packed.move_to_end(key)
            return self._packed[key]
        packed = compress(data)
        self._packed[key] = packed
        self._packed_bytes += _cost(packed)
        while self._packed_bytes > CACHE_BYTES:
            self._packed_bytes -= _cost(self._packed.popitem(last=False)[1])
        return packed

    def timestamp(self) -> Timestamp:
        """What to announce now; raises :class:`RepositoryError` when there is no timestamp that reads."""
        path = self._folder / TIMESTAMP
        try:
            data = path.read_bytes()
            signed = json.loads(data)["signed"]
            version, expires = signed["version"], datetime.fromisoformat(signed["expires"])
        except OSError as error:
            raise RepositoryError(f"cannot read {path}: {error.strerror}; is this an update repository?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RepositoryError(f"{path} is no TUF timestamp") from error
        if not isinstance(version, int) or version < 1 or expires.tzinfo is None:
            raise RepositoryError(f"{path} is no TUF timestamp")
        return Timestamp(TimestampNotice(version, hashlib.sha256(data).hexdigest()), expires)

    def close(self) -> None:
        """Close all files."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()
        os.close(self._root)

    def _open_file(self, path: str) -> tuple[int, int]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._root)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:
            os.close(descriptor)
            raise RangeRefused(RefusalKind.UNREADABLE, "no regular file of an allowed size")
        return descriptor, found.st_size

    def _keep(self, path: str, descriptor: int, size: int) -> None:
        self._open[path] = (descriptor, size)
        while len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1][0])

    @staticmethod
    def _range(descriptor: int, size: int, offset: int, length: int) -> tuple[bytes, int]:
        data = os.pread(descriptor, length, offset) if offset < size else b""
        if not data:
            raise RangeRefused(RefusalKind.BAD_RANGE, f"the file has {size} bytes")
        return data, size


def _cost(packed: bytes | None) -> int:
    return 128 + len(packed or b"")
