"""Which jobs really reached a worker since the machine was booted.

The journal marks the start of a job durably *before* a worker gets it, and for a burst of short jobs it marks many in
one commit. After a crash of the agent this file tells those that had reached a worker from those that had not, so that
the latter run and the former do not run twice. It is never synced: the kernel keeps what was written however the agent
ends. Only a power cut can lose a line, so the file is bound to one boot of the kernel and believed in no other.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from waspi.errors import StorageError

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MAX_BYTES: Final = 256 * 1024


class StartRecord:
    """The file at ``path``; job ids, one a line, below the boot id of the kernel."""

    def __init__(self, path: Path, boot_id: str | None = None) -> None:
        """Read what an earlier agent left. Raises ``StorageError`` when the file cannot be used.

        A file of this boot is gone on with, and a new one is begun only with the first job that starts: this agent may
        die before it has settled what the one before it left, and the next must not believe more than this one did.
        """
        self._path = path
        self._boot_id = boot_id if boot_id is not None else _kernel_boot_id()
        self._earlier = self._read()
        self._size = 0
        self._descriptor = -1
        self._distrusted = False
        if self._earlier is not None:
            self._go_on()
        elif not path.parent.is_dir():
            raise StorageError(f"cannot write {path}: its folder is not there")

    def never_started(self, job_id: str) -> bool:
        """Whether it is certain that this job had not reached a worker when the agent before this one ended."""
        return self._earlier is not None and job_id not in self._earlier

    def note(self, job_id: str) -> None:
        """The next thing to happen is that a worker gets this job.

        A file that cannot be written whole is deleted: then every job that was marked counts as started, as after a
        power cut. Raises ``StorageError`` when that fails, too.
        """
        if self._distrusted:
            return
        line = f"{job_id}\n".encode()
        try:
            if self._descriptor < 0:
                self._begin(())
            _write(self._descriptor, line)
            self._size += len(line)
        except OSError:
            self._distrust()

    @property
    def full(self) -> bool:
        """Whether it is time for :meth:`forget_all_but`."""
        return self._size > _MAX_BYTES and self._descriptor >= 0

    def forget_all_but(self, job_ids: Iterable[str]) -> None:
        """Begin a new file that holds only these; where the disk does not take it, the old one goes on to grow."""
        with contextlib.suppress(OSError):
            self._begin(job_ids)

    def close(self) -> None:
        """Close the file; it stays for the next agent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self, job_ids: Iterable[str]) -> None:
        data = "".join(f"{line}\n" for line in (self._boot_id, *job_ids)).encode()
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, data)
            fresh.replace(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor = descriptor
        self._size = len(data)

    def _go_on(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error

    def _distrust(self) -> None:
        self._distrusted = True
        self.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self) -> frozenset[str] | None:
        try:
            boot_id, _, rest = self._path.read_text().partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        if not self._boot_id or boot_id != self._boot_id:
            return None
        return frozenset(rest.split("\n"))


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):  # a full disk takes a part of it, without an error
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _kernel_boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
