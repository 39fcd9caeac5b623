from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.journal.sample import NOW, a_row, at_once, commit, done, known
from waspi.errors import StorageError
from waspi.journal import inspect
from waspi.journal.journal import Journal
from waspi.journal.operations import Receive, Sent
from waspi.model.state import JobState


def test_lists_and_shows_beside_the_running_agent(journal: Journal, path: Path) -> None:
    commit(journal, Receive(a_row("waiting")), Receive(a_row("busy")))
    done(journal, "done")
    assert [row.id for row in inspect.list_jobs(path)] == ["done", "busy", "waiting"]
    assert [row.id for row in inspect.list_jobs(path, states={JobState.QUEUED})] == ["busy", "waiting"]
    assert [row.id for row in inspect.list_jobs(path, limit=1, before_seq=3)] == ["busy"]
    shown = inspect.show_job(path, "done")
    assert shown is not None
    assert shown.result == b"result"
    assert inspect.show_job(path, "nobody") is None
    assert [row.entry.job_id for row in inspect.list_outbox(path)] == ["done"]
    summary = inspect.summarize(path)
    assert summary.usage == journal.usage
    assert summary.counters.received == 3
    assert summary.file_bytes > 1024
    assert summary.damaged == ()
    assert inspect.check(path) is None


def test_prunes_beside_the_running_agent_which_notices(journal: Journal, path: Path) -> None:
    for number in range(600):
        commit_later(journal, number)
    assert journal.usage.jobs == 600
    assert inspect.prune_jobs(path, now=NOW + 10, keep_jobs=10, older_than_s=5, compact=True) == 590
    commit(journal, Receive(a_row("next")))
    assert journal.usage.jobs == 11
    assert journal.counters.received == 601
    assert journal.counters.succeeded == 600
    assert len(known(journal)) == 11
    assert done(journal, "after").id == 601, "ids of messages go on although the outbox was empty"


def commit_later(journal: Journal, number: int) -> None:
    """Many jobs at a time would hide nothing here, but an fsync for each of them takes long."""
    if number % 100 == 0:
        names = [f"job-{n}" for n in range(number, number + 100)]
        commit(journal, *(at_once(name) for name in names))
        commit(journal, *(Sent(row.id) for row in journal.reader.outbox(limit=1000)))


def test_prune_keeps_what_may_not_go(journal: Journal, path: Path) -> None:
    commit(journal, Receive(a_row("waiting")))
    done(journal, "unsent")
    assert inspect.prune_jobs(path, now=NOW + 1e6, keep_jobs=0, older_than_s=0) == 0
    assert len(inspect.list_jobs(path)) == 2


def test_a_path_without_a_journal_is_told(path: Path) -> None:
    for function in (inspect.list_jobs, inspect.summarize, inspect.check):
        with pytest.raises(StorageError, match="there is no journal at"):
            function(path)
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StorageError, match="it is no database"):
        inspect.list_jobs(path)
