"""One writer at a time: a rollout and an operator's hand must not sign the same version twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waspi.errors import RepositoryError

FILE = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the repository's lock (``flock(2)``: it ends with the process, however that ends).

    Raises :class:`RepositoryError` when the folder is not there or cannot be written; waits for another writer, whose
    work takes milliseconds.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise RepositoryError(f"cannot lock the repository {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
