from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.journal.sample import a_row, commit, done, finished, known
from waspi.errors import StorageError
from waspi.journal import schema
from waspi.journal.journal import Journal
from waspi.journal.operations import Receive, Sent
from waspi.model.state import JobState

VERSION_1 = Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8")
"""Of version 1: an ended job with its message, one that waits, two that were started."""


def of_version_1(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1)
    connection.close()


def test_a_journal_of_version_1_is_brought_up_to_date_and_its_started_jobs_run_again(path: Path) -> None:
    of_version_1(path)
    journal = Journal.open(path)
    assert journal.damage == ()
    assert journal.reader._rows("PRAGMA user_version") == [(schema.VERSION,)]
    assert [(row.id, row.state, row.attempt) for row in journal.reader.queued(10)] == [
        ("waits", JobState.QUEUED, 0),
        ("started", JobState.QUEUED, 1),
        ("started-twice", JobState.QUEUED, 2),
    ]
    ended = journal.reader.job("ended")
    assert ended is not None
    assert (ended.state, ended.result) == (JobState.SUCCEEDED, b"result")
    (message,) = journal.reader.outbox()
    assert (message.entry.payload, message.entry.job_id) == (b"result", "ended")
    assert (journal.usage.open, journal.counters.received) == (3, 4)
    commit(journal, Sent(message.id), finished("started"), Receive(a_row("new")))
    journal.close()


def test_a_migration_that_fails_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version_1(path)
    broken = "ALTER TABLE job ADD COLUMN colour TEXT;\nALTER TABLE missing ADD COLUMN x TEXT;\n"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (schema.MIGRATIONS[0], broken))
        with pytest.raises(StorageError, match="no such table"):
            Journal.open(path)
    journal = Journal.open(path)
    assert known(journal) == ["ended", "waits", "started", "started-twice"]
    journal.close()


def test_a_job_that_ends_soon_costs_few_pages(path: Path) -> None:
    """A small job, and the PUBACK of its result, each in a commit of its own: what an SD card has to take."""
    journal = Journal.open(path)
    for number in range(50):
        commit(journal, Sent(done(journal, f"warm-{number}").id))
    log = path.with_name("journal.db-wal")
    before = log.stat().st_size
    for number in range(20):
        commit(journal, Sent(done(journal, f"job-{number}").id))
    assert (log.stat().st_size - before) / 20 < 7 * schema.PAGE_SIZE
    journal.close()


def test_the_queue_s_index_serves_the_queue(path: Path) -> None:
    Journal.open(path).close()
    with sqlite3.connect(path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT seq, id FROM job WHERE state = 2 ORDER BY priority DESC, seq LIMIT 1"
        ).fetchall()
    connection.close()
    assert "job_queue" in plan[0][3]
    assert not any("TEMP B-TREE" in step[3] for step in plan)
