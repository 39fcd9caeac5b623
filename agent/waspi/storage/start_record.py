"""Which jobs really reached a worker since the machine was booted.

The journal marks the start of a job durably *before* a worker gets it, and for a burst of short jobs it marks many in
one commit. After a crash of the agent this file tells those that had reached a worker from those that had not, so that
the latter run and the former do not run twice. It is never synced: the kernel keeps what was written however the agent
ends. Only a power cut can lose a line, so the file is bound to one boot of the kernel and believed in no other.
"""

from __future__ import annotations

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
        """Read what an earlier agent left. Raises ``StorageError`` when the file cannot be used."""
        self._path = path
        self._boot_id = boot_id if boot_id is not None else _kernel_boot_id()
        self._earlier = self._read()
        self._size = 0
        self._descriptor = -1
        self.forget_all_but(())

    def never_started(self, job_id: str) -> bool:
        """Whether it is certain that this job had not reached a worker when the agent before this one ended."""
        return self._earlier is not None and job_id not in self._earlier

    def note(self, job_id: str) -> None:
        """The next thing to happen is that a worker gets this job. Raises ``StorageError``."""
        line = f"{job_id}\n".encode()
        try:
            os.write(self._descriptor, line)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        self._size += len(line)

    @property
    def full(self) -> bool:
        """Whether it is time for :meth:`forget_all_but`."""
        return self._size > _MAX_BYTES

    def forget_all_but(self, job_ids: Iterable[str]) -> None:
        """Begin a new file that holds only these. Raises ``StorageError``."""
        data = "".join(f"{line}\n" for line in (self._boot_id, *job_ids)).encode()
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(descriptor, data)
            fresh.replace(self._path)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        self.close()
        self._descriptor = descriptor
        self._size = len(data)

    def close(self) -> None:
        """Close the file; it stays for the next agent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> frozenset[str] | None:
        try:
            boot_id, _, rest = self._path.read_text().partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        if not self._boot_id or boot_id != self._boot_id:
            return None
        return frozenset(rest.split("\n"))


def _kernel_boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
