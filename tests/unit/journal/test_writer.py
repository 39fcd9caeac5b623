from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.journal.sample import a_row, an_entry, finished, running
from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.connection import open_for_writing
from waspi.journal.journal import Journal, Outcome, Prepared
from waspi.journal.operations import Deliver, Operation, Receive, Requeue, Sent, Start
from waspi.journal.writer import BATCH_OPERATIONS, Committed, Completion, Failed, Writer


class Gate:
    """A journal's COMMIT that waits until it is let through, and fails when told to."""

    def __init__(self, journal: Journal) -> None:
        self._complete = journal.complete
        self._roll_back = journal._roll_back
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        self.failures = 0
        self.batches: list[int] = []
        journal.complete = self  # type: ignore[method-assign]

    def __call__(self, prepared: Prepared) -> list[Outcome]:
        self.entered.release()
        assert self.open.wait(20)
        self.batches.append(len(prepared.outcomes))
        if self.failures:
            self.failures -= 1
            self._roll_back()
            raise StorageError("the disk is full")
        return self._complete(prepared)


class Loop:
    """What the agent's loop does with completions."""

    def __init__(self, journal: Journal, *, linger_s: float = 0.2) -> None:
        self.awake = threading.Event()
        self.writer = Writer(journal, self.awake.set, linger_s=linger_s, fast_s=0.0)

    def wait(self, number: int) -> list[Completion]:
        seen: list[Completion] = []
        deadline = time.monotonic() + 20
        while len(seen) < number:
            assert self.awake.wait(deadline - time.monotonic()), f"only {len(seen)} of {number} completions"
            self.awake.clear()
            seen += self.writer.completed()
        return seen


@pytest.fixture
def gate(journal: Journal) -> Gate:
    return Gate(journal)


@pytest.fixture
def loop(journal: Journal, gate: Gate) -> Iterator[Loop]:
    made = Loop(journal)
    yield made
    gate.open.set()
    made.writer.stop()


def receive(number: int) -> list[Operation]:
    return [Receive(a_row(f"job-{number}"))]


def test_a_commit_is_told_with_the_rows_that_it_made(loop: Loop, journal: Journal) -> None:
    ticket = loop.writer.submit([Receive(running()), finished()])
    (completion,) = loop.wait(1)
    assert completion == Committed(ticket, tuple(journal.reader.outbox()))
    assert isinstance(completion, Committed)
    assert completion.outbox_rows[0].entry == an_entry()


def test_what_comes_in_during_a_commit_shares_the_next_one(loop: Loop, gate: Gate, journal: Journal) -> None:
    gate.open.clear()
    first = loop.writer.submit(receive(0))
    assert gate.entered.acquire(timeout=20)
    others = [loop.writer.submit(receive(number)) for number in range(1, 50)]
    gate.open.set()
    completions = loop.wait(50)
    assert [completion.ticket for completion in completions] == [first, *others]
    assert gate.batches == [1, 49]
    assert [job.id for job in journal.reader.known()] == [f"job-{number}" for number in range(50)]


def test_a_batch_is_bounded(loop: Loop, gate: Gate) -> None:
    gate.open.clear()
    loop.writer.submit(receive(0))
    assert gate.entered.acquire(timeout=20)
    number = BATCH_OPERATIONS + 10
    for index in range(1, number + 1):
        loop.writer.submit([Deliver(an_entry(None))] if index % 2 else receive(index))
    loop.writer.submit([Receive(a_row("big-1", body=bytes(9 << 20)))])
    loop.writer.submit([Receive(a_row("big-2", body=bytes(9 << 20)))])
    gate.open.set()
    loop.wait(number + 3)
    assert gate.batches == [1, BATCH_OPERATIONS, 11, 1]


def test_what_is_not_urgent_waits_for_company(journal: Journal, gate: Gate) -> None:
    loop = Loop(journal, linger_s=600)
    loop.writer.submit([Sent(1)])
    loop.writer.submit([Sent(2)])
    loop.writer.submit(receive(0))
    assert len(loop.wait(3)) == 3
    loop.writer.submit([Sent(3)])
    loop.writer.flush()
    loop.wait(1)
    loop.writer.submit([Sent(4)])
    loop.writer.stop()
    assert len(loop.writer.completed()) == 1
    assert sum(gate.batches) == 5


def test_what_is_not_urgent_does_not_wait_for_ever(journal: Journal) -> None:
    loop = Loop(journal, linger_s=0.001)
    loop.writer.submit([Sent(1)])
    loop.wait(1)
    loop.writer.stop()


def test_an_illegal_group_fails_alone(loop: Loop, gate: Gate) -> None:
    gate.open.clear()
    loop.writer.submit(receive(0))
    assert gate.entered.acquire(timeout=20)
    wrong = loop.writer.submit([Requeue("job-0")])
    right = loop.writer.submit([Start("job-0", 1)])
    gate.open.set()
    first, second, third = loop.wait(3)
    assert isinstance(first, Committed)
    assert isinstance(second, Failed)
    assert isinstance(second.error, IllegalTransitionError)
    assert second.ticket == wrong
    assert third == Committed(right, ())


def test_fault_10_nothing_overtakes_what_the_disk_refused(loop: Loop, gate: Gate, journal: Journal) -> None:
    gate.open.clear()
    gate.failures = 1
    loop.writer.submit(receive(0))
    assert gate.entered.acquire(timeout=20)
    loop.writer.submit(receive(1))
    gate.open.set()
    # The second one could have been committed; but the caller does not know of the failure yet.
    waiting = [receive(0), receive(1), receive(2)]
    assert loop.awake.wait(20)
    loop.writer.submit(receive(2))
    failed: list[Completion] = loop.writer.completed()
    while len(failed) < 3:
        assert loop.awake.wait(20)
        loop.awake.clear()
        failed += loop.writer.completed()
    assert all(isinstance(completion, Failed) for completion in failed)
    assert [completion.ticket for completion in failed] == [1, 2, 3]
    assert journal.reader.known() == []
    loop.awake.clear()
    tickets = [loop.writer.submit(group) for group in waiting]
    assert [completion.ticket for completion in loop.wait(3)] == tickets
    assert [job.id for job in journal.reader.known()] == ["job-0", "job-1", "job-2"]


def test_stop_commits_what_was_submitted(journal: Journal) -> None:
    loop = Loop(journal, linger_s=600)
    for number in range(20):
        loop.writer.submit(receive(number))
    loop.writer.stop()
    assert all(isinstance(completion, Committed) for completion in loop.writer.completed())
    assert journal.usage.queued == 20
    with pytest.raises(StorageError, match="the journal is closed"):
        loop.writer.submit(receive(99))


def test_a_bug_in_the_thread_reaches_the_loop(journal: Journal) -> None:
    def broken(_prepared: Prepared) -> list[Outcome]:
        raise ZeroDivisionError

    journal.complete = broken  # type: ignore[method-assign]
    loop = Loop(journal)
    loop.writer.submit(receive(0))
    assert loop.awake.wait(20)
    with pytest.raises(ZeroDivisionError):
        loop.writer.completed()
    loop.writer.stop()


def test_fault_10_a_locked_journal_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waspi.journal.connection.BUSY_TIMEOUT_S", 0.01)
    journal = Journal.open(path)
    loop = Loop(journal)
    blocker = open_for_writing(path, journal.quotas)  # another process, as far as SQLite is concerned
    blocker.execute("BEGIN IMMEDIATE")
    loop.writer.submit(receive(0))
    (failed,) = loop.wait(1)
    assert isinstance(failed, Failed)
    assert "another process keeps it locked" in failed.error.message
    blocker.execute("ROLLBACK")
    blocker.close()
    loop.writer.submit(receive(0))
    assert isinstance(loop.wait(1)[0], Committed)
    loop.writer.stop()
    journal.close()
