"""Damaged journals: finding them, and setting them aside so that the service starts on a new one.

A marker file is written first. It makes setting aside safe against a power cut half-way, and it remembers damage that
showed only while the service ran, which the check at start might not see.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from waspi.journal.durable import remove_durably, rename_durably, write_durably
from waspi.journal.schema import APPLICATION_ID, application_of

KEPT: Final = 3
"""Damaged journals kept for whoever looks into it; older ones are deleted, since the disk is bounded."""


def marker_of(path: Path) -> Path:
    """Name of the marker that condemns the journal at ``path``."""
    return path.with_name(path.name + ".condemned")


def condemn(path: Path, reason: str) -> None:
    """Have the journal set aside at the next start. Raises ``StorageError``."""
    write_durably(marker_of(path), reason.encode())


def condemned(path: Path) -> str | None:
    """Why the journal was condemned, or ``None``."""
    try:
        return marker_of(path).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None


def examine(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the open journal, one line, or ``None``. Raises ``sqlite3.Error``."""
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]
    if tables and application_of(connection) != APPLICATION_ID:
        return "it is a database of another program"
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else " ".join(found.split())


def set_aside(path: Path, reason: str) -> Path | None:
    """Rename the journal and its log to ``<name>-damaged-<n>.db``; the new path, ``None`` when nothing was there.

    Raises :class:`~waspi.errors.StorageError`.
    """
    condemn(path, reason)
    names = sorted(path.parent.glob(f"{path.stem}-damaged-*{path.suffix}"), key=_number)
    target = path.with_name(f"{path.stem}-damaged-{_number(names[-1]) + 1 if names else 1}{path.suffix}")
    # The log first: SQLite would play an old log into the new database.
    _move(_beside(path, "-wal"), _beside(target, "-wal"))
    remove_durably(_beside(path, "-shm"))
    moved = _move(path, target)
    for old in names[: max(0, len(names) + moved - KEPT)]:
        remove_durably(_beside(old, "-wal"))
        remove_durably(old)
    remove_durably(marker_of(path))
    return target if moved else None


def _move(path: Path, target: Path) -> bool:
    if not path.exists():
        return False
    rename_durably(path, target)
    return True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
