from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.journal.sample import commit, done
from waspi.errors import StorageError
from waspi.journal import damage, schema
from waspi.journal.journal import Journal
from waspi.journal.operations import Sent


def test_a_journal_of_an_older_version_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(path)
    commit(journal, Sent(done(journal, "old").id))
    journal.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE job ADD COLUMN colour TEXT;\n"))
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(damage, "VERSION", 2)
    journal = Journal.open(path)
    assert journal.damage == ()
    assert journal.reader._rows("SELECT id, colour FROM job") == [("old", None)]
    assert journal.reader._rows("PRAGMA user_version") == [(2,)]
    journal.close()


def test_a_migration_that_fails_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(path)
    done(journal, "old")
    journal.close()
    broken = "ALTER TABLE job ADD COLUMN colour TEXT;\nALTER TABLE missing ADD COLUMN x TEXT;\n"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        patch.setattr(schema, "VERSION", 2)
        patch.setattr(damage, "VERSION", 2)
        with pytest.raises(StorageError, match="no such table"):
            Journal.open(path)
    journal = Journal.open(path)
    assert [job.id for job in journal.reader.known()] == ["old"]
    journal.close()


def test_a_job_that_starts_at_once_costs_few_pages(path: Path) -> None:
    """Receipt, result and PUBACK of a small job, each in a commit of its own: what an SD card has to take."""
    journal = Journal.open(path)
    for number in range(50):
        commit(journal, Sent(done(journal, f"warm-{number}").id))
    log = path.with_name("journal.db-wal")
    before = log.stat().st_size
    for number in range(20):
        commit(journal, Sent(done(journal, f"job-{number}").id))
    assert (log.stat().st_size - before) / 20 < 8 * schema.PAGE_SIZE
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
