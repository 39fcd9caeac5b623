"""The one way in which waspi writes files that must survive a power cut.

Temporary file in the same folder, ``fsync``, ``rename``, ``fsync`` of the folder: a reader sees the old bytes or the
new ones, never a mixture, and what this function returned from stays (``rename(2)``, ``fsync(2)``).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from waspi.errors import StorageError

_PREFIX = ".waspi-"
_SUFFIX = ".tmp"


def write_durably(path: Path, data: bytes | memoryview, *, mode: int = 0o600) -> None:
    """Replace the file at ``path`` by ``data``, atomically and durably.

    ``mode``: permission bits of the new file (the umask does not apply). The folder has to exist. Raises
    :class:`~waspi.errors.StorageError`; the old file is then untouched, unless the very last step (``fsync`` of the
    folder) failed, after which the new one is in place but may not survive a power cut.
    """
    temporary = path.with_name(f"{_PREFIX}{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        try:
            _write_new(temporary, data, mode)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise _storage_error("write", path, error) from error


def remove_durably(path: Path) -> None:
    """Delete the file at ``path``, if there is one, so that it does not come back. Raises ``StorageError``."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise _storage_error("delete", path, error) from error


def rename_durably(path: Path, target: Path) -> None:
    """Rename ``path`` to ``target`` within one folder. Raises ``StorageError``."""
    try:
        path.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise _storage_error("rename", path, error) from error


def remove_leftovers(folder: Path) -> int:
    """Delete temporary files that an interrupted :func:`write_durably` left in ``folder``; how many (``int``).

    To be called at start, while no other process writes there. Raises ``StorageError``.
    """
    removed = 0
    try:
        for leftover in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            leftover.unlink(missing_ok=True)
            removed += 1
    except OSError as error:
        raise _storage_error("clean", folder, error) from error
    return removed


def sync_folder(folder: Path) -> None:
    """``fsync`` the folder: names created, renamed or deleted in it are then durable. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes | memoryview, mode: int) -> None:
    # O_TRUNC, not O_EXCL: the only file that can be there is a leftover of an earlier process with this pid.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(verb: str, path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot {verb} {path}: {error.strerror or error}; check free space and permissions of the disk"
    )
