"""Tables of the journal, their versions, and how one version becomes the next.

Made for few bytes written per job, because the disk is an SD card (figures in RATIONALE.md):

- Everything about a job stands in one row, body and result included, and only two indexes exist: a commit writes whole
  pages, so that each further table or index would cost a page per commit. The queue's index holds jobs that are not
  final; a job that ends soon is written once, with its result, and never touches it.
- The counters are not written per job: ``meta`` holds those of forgotten jobs, the rest is counted at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from waspi.errors import NewerJournalError
from waspi.model.state import JobState

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

APPLICATION_ID: Final = 0x57415350
"""``PRAGMA application_id``: "WASP"; tells our file from any other database."""

PAGE_SIZE: Final = 1024
"""Bytes; a commit of a small job changes few cells on few pages."""

STATE_CODES: Final[dict[JobState, int]] = {
    JobState.QUEUED: 2,
    JobState.SUCCEEDED: 4,
    JobState.FAILED: 5,
    JobState.TIMED_OUT: 6,
    JobState.REJECTED: 7,
    JobState.CANCELED: 8,
    JobState.EXPIRED: 9,
}
"""How a state stands in the table. Never renumbered. In version 1 a job that had been started was 3."""

STATES: Final = {code: state for state, code in STATE_CODES.items()}

FINISHED_COLUMNS: Final[dict[JobState, str]] = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "timed_out",
    JobState.REJECTED: "rejected",
    JobState.CANCELED: "canceled",
    JobState.EXPIRED: "expired",
}
"""Counter of each final state in ``meta``."""

_VERSION_1 = """
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  boots INTEGER NOT NULL DEFAULT 0,
  next_seq INTEGER NOT NULL DEFAULT 1,
  next_outbox INTEGER NOT NULL DEFAULT 1,
  received INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  timed_out INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  canceled INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO meta (one) VALUES (1);

CREATE TABLE job (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 2 AND 9),
  attempt INTEGER NOT NULL,
  idempotent INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  plain INTEGER NOT NULL,
  delivery INTEGER,
  received_at REAL NOT NULL,
  expires_at REAL,
  body_hash BLOB NOT NULL,
  module TEXT NOT NULL,
  topic TEXT NOT NULL,
  reply_to TEXT,
  correlation BLOB,
  body BLOB NOT NULL,
  result BLOB
) STRICT;
CREATE UNIQUE INDEX job_id ON job (id);
CREATE INDEX job_queue ON job (priority DESC, seq) WHERE state = 2;

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  job INTEGER,          -- seq of the job, whose row has to stay
  size INTEGER NOT NULL,
  expires_at REAL,
  job_id TEXT,
  topic TEXT NOT NULL,
  correlation BLOB,
  content_type TEXT,
  properties TEXT,      -- name, NUL, value, NUL, ...: MQTT forbids NUL in strings
  payload BLOB          -- NULL: the job's result, stored once
) STRICT;
"""

_VERSION_2 = """
UPDATE job SET state = 2 WHERE state = 3;
ALTER TABLE job DROP COLUMN idempotent;
ALTER TABLE outbox DROP COLUMN expires_at;
"""
"""A run that nobody has seen the result of may be run again: to the disk a job is final or not."""

MIGRATIONS: Final[tuple[str, ...]] = (_VERSION_1, _VERSION_2)
"""``MIGRATIONS[n]`` brings a journal from version ``n`` to ``n + 1``; each runs in one transaction."""

VERSION: Final = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """The file's schema version (``PRAGMA user_version``); 0 for an empty file. Raises ``sqlite3.Error``."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def application_of(connection: sqlite3.Connection) -> int:
    """The file's application id. Raises ``sqlite3.Error``."""
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to :data:`VERSION`, one transaction per step. Raises ``sqlite3.Error``."""
    for version in range(version_of(connection), VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises :class:`~waspi.errors.NewerJournalError` for a file whose schema this waspi does not know."""
    version = version_of(connection)
    if version > VERSION:
        raise NewerJournalError(
            f"{path} was written by a newer waspi (journal version {version}, this one knows {VERSION}) and is left as"
            " it is; install that waspi again, or, to give up its jobs and results, move the file away"
        )


def statements(script: str) -> list[str]:
    """The statements of ``script``; ``executescript`` would commit in between."""
    return [statement for statement in script.split(";\n") if statement.strip()]
