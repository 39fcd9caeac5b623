"""Connections to the journal's file, set up alike everywhere, and SQLite's errors in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from waspi.errors import StorageError
from waspi.journal.quotas import Quotas
from waspi.journal.schema import PAGE_SIZE

BUSY_TIMEOUT_S: Final = 5.0
"""How long a commit waits for another process (``waspi journal prune``) to finish its own."""

CHECKPOINT_PAGES: Final = 1000
"""Pages in the write-ahead log before they are copied to the database; a page written many times is copied once."""

DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
"""Primary result codes that mean: these bytes are no sound database."""

_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk (or the journal's quota) is full; make room",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; check it (dmesg)",
    sqlite3.SQLITE_READONLY: "the folder or its file system is read-only; check mount options and owner",
    sqlite3.SQLITE_PERM: "permission denied; check the owner of the state folder",
    sqlite3.SQLITE_CANTOPEN: "cannot open it; check that the folder exists, its owner, and free space",
    sqlite3.SQLITE_BUSY: "another process keeps it locked; stop that process",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restart the service, which sets it aside",
    sqlite3.SQLITE_NOTADB: "it is no database; restart the service, which sets it aside",
}


def open_for_writing(path: Path, quotas: Quotas, *, durable: bool = True) -> sqlite3.Connection:
    """The one connection that writes; if ``durable``, a commit is on disk when it returns. Raises ``sqlite3.Error``."""
    _keep_to_ourselves(path)
    connection = _connect(path, cache_kib=256)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # only a new file obeys
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL syncs around checkpoints only. OFF would not merely lose commits: a power cut damages the file.
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        # The writer checkpoints by itself, on a thread that may wait for the disk; where it miscounts, SQLite does.
        connection.execute(f"PRAGMA wal_autocheckpoint = {4 * CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 8388608")  # bytes; a burst must not leave a huge log for ever
        connection.execute("PRAGMA secure_delete = OFF")  # Debian's default ON writes zeros over what is deleted
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {quotas.file_bytes // size}")
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_to_ourselves(path: Path) -> None:
    """Jobs and results are nobody else's to read. SQLite gives its other files the mode of this one."""
    with contextlib.suppress(OSError):  # SQLite says what is wrong, in its own words
        with contextlib.suppress(FileExistsError):  # opened and closed, it would lose the locks of other connections
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises ``sqlite3.Error``."""
    connection = _connect(path, cache_kib=64)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path, *, cache_kib: int) -> sqlite3.Connection:
    # One thread at a time uses a connection, but not the one that opened it; SQLite is built serialized anyway.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 when the error came from Python's own checks (``int``)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def translated(verb: str, path: Path, error: sqlite3.Error) -> StorageError:
    """Our error for SQLite's: what could not be done, why, and what to do."""
    advice = _ADVICE.get(primary_code(error), "see the cause")
    return StorageError(f"cannot {verb} the journal {path}: {error}: {advice}")
