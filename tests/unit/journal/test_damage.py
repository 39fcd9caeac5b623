from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.journal.sample import a_row, at_once, commit, done, known
from waspi.errors import NewerJournalError, StorageError
from waspi.journal import inspect
from waspi.journal.damage import KEPT, condemn, marker_of
from waspi.journal.journal import Journal
from waspi.journal.operations import Receive, Sent
from waspi.journal.schema import MIGRATIONS, VERSION


def used(path: Path, jobs: int = 300) -> int:
    """A journal with some jobs behind it; the id of its last message."""
    journal = Journal.open(path)
    messages = commit(journal, *(at_once(f"job-{number}") for number in range(jobs)))
    last = messages[-1].id
    commit(journal, *(Sent(message.id) for message in messages))
    journal.close()
    return last


def assert_starts_anew(path: Path, reason: str, *, jobs: int = 300, last: int) -> None:
    before = path.read_bytes()
    journal = Journal.open(path)
    assert len(journal.damage) == 1
    assert reason in journal.damage[0]
    assert "journal-damaged-1.db" in journal.damage[0]
    assert path.with_name("journal-damaged-1.db").read_bytes() == before
    assert known(journal) == []
    assert journal.boot == 2
    counters = journal.counters
    assert jobs <= counters.received <= jobs + 1000
    assert jobs <= counters.succeeded <= jobs + 1000
    assert counters.next_seq > jobs
    message = done(journal, "job-0")
    assert message.id > last
    assert journal.counters.received == counters.received + 1
    journal.close()
    again = Journal.open(path)
    assert again.damage == ()
    assert again.boot == 3
    assert again.counters.received == counters.received + 1
    again.close()


def test_no_database_at_all(path: Path) -> None:
    last = used(path)
    path.write_bytes(b"this is not a database, " * 1000)
    assert_starts_anew(path, "file is not a database", last=last)


def test_a_page_that_was_overwritten(path: Path) -> None:
    last = used(path)
    content = bytearray(path.read_bytes())
    assert len(content) > 40_000
    content[20_480:24_576] = b"\xa5" * 4096
    path.write_bytes(content)
    assert_starts_anew(path, "damaged (", last=last)


def test_a_file_that_was_cut_off(path: Path) -> None:
    last = used(path)
    path.write_bytes(path.read_bytes()[: 30 * 1024])
    assert_starts_anew(path, "damaged (", last=last)


def test_fault_46_a_journal_of_a_newer_waspi_is_left_as_it_is(path: Path) -> None:
    used(path, 3)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    for look in (Journal.open, inspect.summarize, inspect.check):
        with pytest.raises(NewerJournalError, match=r"written by a newer waspi .* install that waspi again"):
            look(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*damaged*"))
    assert not marker_of(path).exists()
    with sqlite3.connect(path) as connection:  # the newer waspi is back
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.close()
    journal = Journal.open(path)
    assert known(journal) == ["job-0", "job-1", "job-2"]
    journal.close()


def test_a_database_of_another_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    journal = Journal.open(path)
    assert "another program" in journal.damage[0]
    journal.close()


def test_damage_that_shows_only_at_work_is_set_aside_at_the_next_start(path: Path) -> None:
    used(path, 5)
    journal = Journal.open(path)
    assert journal._connection is not None
    # The table's root page is read at the first use only.
    root = journal._connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'job'").fetchone()[0]
    journal._disconnect()
    with path.open("r+b") as file:
        file.seek((root - 1) * 1024)
        file.write(b"\xff" * 1024)
    journal.reader.close()
    with pytest.raises(StorageError, match=r"damaged; restart the service, which sets it aside"):
        commit(journal, Receive(a_row("new")))
    assert marker_of(path).exists()
    journal.close()
    journal = Journal.open(path)
    assert "malformed" in journal.damage[0]
    assert not marker_of(path).exists()
    commit(journal, Receive(a_row("new")))
    journal.close()


def test_setting_aside_goes_on_where_a_power_cut_stopped_it(path: Path) -> None:
    used(path, 3)
    log = path.with_name("journal.db-wal")
    log.write_bytes(b"an old log")
    condemn(path, "said so")
    path.rename(path.with_name("journal-damaged-1.db"))  # the last step before the marker goes
    journal = Journal.open(path)
    assert journal.damage == ("the journal was damaged (said so) and is set aside as nothing",)
    assert known(journal) == []
    journal.close()


def test_fault_16_when_the_memory_of_jobs_was_lost_is_not_forgotten(path: Path) -> None:
    used(path, 3)
    assert opened_at(path, 1000.0) == 0.0
    path.write_bytes(b"x" * 5000)
    assert opened_at(path, 2000.5) == 2000.5
    assert opened_at(path, 3000.0) == 2000.0, "in whole seconds, from the disk"
    path.unlink()  # it is simply gone
    assert opened_at(path, 4000.0) == 4000.0
    assert opened_at(path, 1.0) == 4000.0
    path.write_bytes(b"x" * 5000)
    assert opened_at(path, 5.0) == 4000.0, "a clock that was set back takes nothing away"


def opened_at(path: Path, now: float) -> float:
    journal = Journal.open(path, now=lambda: now)
    journal.close()
    return journal.memory_since


def test_only_the_newest_damaged_journals_are_kept(path: Path) -> None:
    for _ in range(KEPT + 2):
        used(path, 1)
        path.write_bytes(b"x" * 5000)
    Journal.open(path).close()
    kept = sorted(p.name for p in path.parent.glob("journal-damaged-*.db"))
    assert kept == [f"journal-damaged-{number}.db" for number in range(3, KEPT + 3)]


def test_a_damaged_file_of_counters_is_told_and_made_anew(path: Path) -> None:
    used(path, 3)
    counters = path.with_name("journal-counters.json")
    for nonsense in (b"", b"{}x", b"[1]", b'{"boots": "one"}', b'{"boots": -1}', b'{"other": 1}', b"\xff"):
        counters.write_bytes(nonsense)
        journal = Journal.open(path)
        assert "journal-counters.json is damaged" in journal.damage[0]
        assert journal.counters.received == 3
        journal.close()
        assert json.loads(counters.read_bytes())["boots"] == journal.boot


def test_totals_are_exact_while_the_journal_is_sound(path: Path) -> None:
    used(path, 7)
    path.with_name("journal-counters.json").unlink()
    journal = Journal.open(path)
    assert (journal.counters.received, journal.counters.succeeded, journal.boot) == (7, 7, 2)
    journal.close()


def test_migrations_are_steps_from_an_empty_file() -> None:
    assert len(MIGRATIONS) == VERSION
