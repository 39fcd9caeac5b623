"""What a durable write costs here, and what kind of file system it goes to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

PAGE = 4096
PAGES = 1000
"""As many as the journal's write-ahead log has before it starts again at its beginning."""


class DiskProbe:
    """A file like the journal's log: pages written over what is there, each followed by ``fdatasync``."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "probe", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, bytes(PAGE * PAGES), 0)
        os.fsync(self._fd)
        self._next = 0

    def fdatasync_us(self) -> float:
        """Microseconds of one page's write and ``fdatasync``."""
        begin = time.perf_counter()
        os.pwrite(self._fd, os.urandom(PAGE), self._next * PAGE)
        os.fdatasync(self._fd)
        taken = (time.perf_counter() - begin) * 1e6
        self._next = (self._next + 1) % PAGES
        return taken

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def file_system(folder: Path) -> str:
    """Type of the file system that holds a folder, for example ``ext4`` (proc(5), ``/proc/self/mountinfo``)."""
    best, kind = "", "?"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4]
        if len(mount) >= len(best) and folder.resolve().is_relative_to(mount):
            best, kind = mount, after.split()[0]
    return kind
