"""What ``waspi journal`` shows and prunes, while the agent runs or not. Functions of the operator's side."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from waspi.errors import StorageError
from waspi.journal.connection import open_for_reading, open_for_writing, translated
from waspi.journal.counters import Counters
from waspi.journal.damage import examine
from waspi.journal.quotas import Quotas, Usage
from waspi.journal.reader import Reader
from waspi.journal.retention import prune
from waspi.journal.rows import JobRow, OutboxRow
from waspi.journal.schema import check_version
from waspi.journal.tally import count
from waspi.model.state import JobState


@dataclass(frozen=True, slots=True)
class Summary:
    """The journal at a glance."""

    counters: Counters
    usage: Usage
    file_bytes: int
    """Database and write-ahead log on disk."""
    damaged: tuple[str, ...]
    """Names of journals that were set aside."""


def summarize(path: Path) -> Summary:
    """Totals and sizes. Raises :class:`~waspi.errors.StorageError`."""
    with _reading(path) as connection:
        tally = count(connection)
    files = (path, path.with_name(path.name + "-wal"))
    return Summary(
        counters=tally.counters(),
        usage=tally.usage(),
        file_bytes=sum(file.stat().st_size for file in files if file.exists()),
        damaged=tuple(sorted(file.name for file in path.parent.glob(f"{path.stem}-damaged-*{path.suffix}"))),
    )


def list_jobs(
    path: Path, *, states: Collection[JobState] = (), limit: int = 100, before_seq: int | None = None
) -> list[JobRow]:
    """The newest jobs first, without bodies and results. Raises ``StorageError``."""
    with closing(_reader(path)) as reader:
        return reader.recent(limit, states=states, before_seq=before_seq)


def show_job(path: Path, job_id: str) -> JobRow | None:
    """One job with its body or result. Raises ``StorageError``."""
    with closing(_reader(path)) as reader:
        return reader.job(job_id)


def list_outbox(path: Path, *, after_id: int = 0, limit: int = 100) -> list[OutboxRow]:
    """Messages that wait for the broker, oldest first. Raises ``StorageError``."""
    with closing(_reader(path)) as reader:
        return reader.outbox(after_id, limit)


def check(path: Path) -> str | None:
    """What is wrong with the file, or ``None``; changes nothing. Raises ``StorageError``."""
    with _reading(path) as connection:
        return examine(connection)


def prune_jobs(path: Path, *, now: float, keep_jobs: int, older_than_s: float, compact: bool = False) -> int:
    """Forget final, delivered jobs older than ``older_than_s`` seconds, but never the last ``keep_jobs``; how many.

    Jobs that could still be replayed stay. ``compact`` gives the freed space back to the file system, which rewrites
    the whole file. The running agent may go on beside it. Raises ``StorageError``.
    """
    _require(path)
    quotas = Quotas(keep_jobs=keep_jobs, retention_s=older_than_s)
    total = 0
    try:
        with closing(open_for_writing(path, quotas)) as connection:
            tally = None
            while True:
                connection.execute("BEGIN IMMEDIATE")
                tally = count(connection) if tally is None else tally
                before, cursor = tally.jobs, tally.job_cursor
                prune(connection, tally, quotas, now=now, limit=256, aged=True)
                connection.execute("COMMIT")
                total += before - tally.jobs
                if tally.job_cursor <= cursor:  # once round
                    break
            if compact:
                connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise translated("prune", path, error) from error
    return total


def _require(path: Path) -> None:
    if not path.is_file():
        raise StorageError(f"there is no journal at {path}; check the path of the state folder")


def _reader(path: Path) -> Reader:
    _require(path)
    return Reader(path)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    _require(path)
    try:
        with closing(open_for_reading(path)) as connection:
            check_version(connection, path)
            yield connection
    except sqlite3.Error as error:
        raise translated("read", path, error) from error
