from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.journal.sample import a_row, an_entry, at_once, finished, known
from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal import counters
from waspi.journal.connection import CHECKPOINT_PAGES, open_for_writing
from waspi.journal.durable import write_durably
from waspi.journal.journal import Journal, Outcome, Prepared
from waspi.journal.operations import Finish, Operation, Receive, Sent
from waspi.journal.rows import OutboxRow
from waspi.journal.writer import BATCH_OPERATIONS, COMPANY, LINGER_S, CommitThread, Writer, WriterState
from waspi.model.state import JobState

LOOP, THREAD = "MainThread", "journal"


class Desk:
    """A writer and its owner, a note of the thread that did each part of the work, and a disk that can be held."""

    def __init__(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool = True, fast_s: float = 0.0
    ) -> None:
        self.journal = Journal.open(path, durable=durable)
        self.threads: dict[str, list[str]] = {"prepare": [], "complete": [], "checkpoint": [], "counters": []}
        self.now = 1000.0
        self.told: list[tuple[Operation, Outcome]] = []
        self.batches: list[int] = []
        self.troubles: list[StorageError | None] = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        self.failures = 0
        self._complete = self.journal.complete
        monkeypatch.setattr(self.journal, "complete", self._gated)
        for part in ("prepare", "complete", "checkpoint"):
            monkeypatch.setattr(self.journal, part, self._noted(part, getattr(self.journal, part)))
        monkeypatch.setattr(counters, "write_durably", self._noted("counters", write_durably))
        self.thread = CommitThread(self.journal)
        self.writer = Writer(self.journal, self, self.thread, lambda: self.now, fast_s=fast_s)

    def on_committed(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        self.told += zip(operations, outcomes, strict=True)

    def on_disk(self, trouble: StorageError | None) -> None:
        self.troubles.append(trouble)

    def _noted(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the part takes and gives
            self.threads[part].append(threading.current_thread().name)
            return act(*arguments, **options)

        return noted

    def _gated(self, prepared: Prepared) -> list[Outcome]:
        self.entered.release()
        assert self.open.wait(20)
        if self.failures:
            self.failures -= 1
            self.journal._roll_back()
            raise StorageError("the disk is full")
        self.batches.append(len(prepared.outcomes))
        return self._complete(prepared)

    def enter(self, *operations: Operation) -> None:
        for operation in operations:
            self.writer.enter(operation)

    def turn(self, timeout_s: float = 0.0) -> None:
        """What the loop does: begin what is due, hear what is done."""
        told = self.writer.flush()
        if select.select([self.thread.descriptor], [], [], 0.0 if told else timeout_s)[0]:
            self.writer.settle()
            self.writer.flush()

    def until(self, holds: Callable[[], object]) -> None:
        give_up = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < give_up, f"told {len(self.told)}"
            self.turn(0.5)

    def commit(self, *operations: Operation) -> list[Outcome]:
        """Enter, and wait for what becomes of it."""
        wanted = len(self.told) + len(operations)
        self.enter(*operations)
        self.until(lambda: len(self.told) >= wanted)
        return [outcome for _, outcome in self.told[-len(operations) :]]

    def close(self) -> None:
        self.open.set()
        self.writer.close()
        self.journal.close()


Maker = Callable[..., Desk]


@pytest.fixture
def make(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    made: list[Desk] = []

    def make_desk(**options: Any) -> Desk:  # noqa: ANN401 - those of Desk
        made.append(Desk(path, monkeypatch, **options))
        return made[-1]

    yield make_desk
    for each in made:
        if each.journal._connection is not None:
            each.close()


def receive(number: int) -> Receive:
    return Receive(a_row(f"job-{number}"))


# --- what is told, and when -------------------------------------------------------------------------------------------


def test_a_commit_is_told_with_the_rows_that_it_made(make: Maker) -> None:
    desk = make()
    operation = at_once()
    (outcome,) = desk.commit(operation)
    assert desk.told == [(operation, desk.journal.reader.outbox()[0])]
    assert isinstance(outcome, OutboxRow)
    assert outcome.entry == an_entry()


def test_what_comes_in_during_a_commit_shares_the_next_one(make: Maker) -> None:
    desk = make()
    desk.open.clear()
    desk.enter(receive(0))
    desk.turn()
    assert desk.entered.acquire(timeout=20)
    for number in range(1, 50):
        desk.enter(receive(number))
        desk.turn()
    desk.open.set()
    desk.until(lambda: len(desk.told) == 50)
    assert desk.batches == [1, 49]
    assert known(desk.journal) == [f"job-{number}" for number in range(50)]


def test_a_batch_is_bounded(make: Maker) -> None:
    desk = make()
    number = BATCH_OPERATIONS + 10
    big = [Receive(a_row(f"big-{index}", body=bytes(9 << 20))) for index in range(2)]
    desk.commit(*(receive(index) for index in range(number)), *big)
    assert desk.batches == [BATCH_OPERATIONS, 11, 1]


def test_what_is_not_urgent_waits_for_company(make: Maker) -> None:
    desk = make()
    desk.enter(Sent(1), Sent(2))
    desk.turn()
    assert desk.writer.idle
    assert desk.writer.next_deadline() == desk.now + LINGER_S
    desk.enter(receive(0))
    assert not desk.writer.idle
    desk.until(lambda: len(desk.told) == 3)
    assert desk.batches == [3]


def test_what_is_not_urgent_does_not_wait_for_ever(make: Maker) -> None:
    desk = make()
    desk.enter(Sent(1))
    desk.turn()
    desk.now += LINGER_S
    desk.until(lambda: len(desk.told) == 1)
    desk.enter(*(Sent(number) for number in range(COMPANY)))
    desk.until(lambda: len(desk.told) == 1 + COMPANY)
    assert desk.batches == [1, COMPANY]


def test_an_illegal_operation_is_told_with_its_reason(make: Maker) -> None:
    desk = make()
    desk.commit(receive(0))
    first, second, third, fourth = desk.commit(receive(1), receive(0), at_once("job-2"), finished("nobody"))
    assert first is None
    assert isinstance(second, IllegalTransitionError)
    assert isinstance(third, OutboxRow)
    assert isinstance(fourth, IllegalTransitionError)
    assert known(desk.journal) == ["job-0", "job-1", "job-2"]


def test_close_commits_what_was_entered(make: Maker, path: Path) -> None:
    desk = make()
    desk.open.clear()
    desk.enter(receive(0))
    desk.turn()
    desk.enter(receive(1), Sent(7))
    desk.close()
    journal = Journal.open(path)
    assert known(journal) == ["job-0", "job-1"]
    journal.close()


def test_a_bug_in_the_thread_reaches_the_loop(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make()

    def broken(_prepared: Prepared) -> list[Outcome]:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.journal, "complete", broken)
    desk.enter(receive(0))
    with pytest.raises(ZeroDivisionError):
        desk.until(lambda: desk.told)


# --- a disk that refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [True, False])
def test_fault_10_nothing_overtakes_what_the_disk_refused(make: Maker, durable: bool) -> None:
    desk = make(durable=durable, fast_s=60.0)
    desk.failures = 3
    desk.enter(receive(0), receive(1))
    desk.until(lambda: desk.troubles)
    assert desk.writer.state is WriterState.REFUSED
    assert desk.told == []
    desk.enter(receive(2))
    desk.turn()
    assert desk.failures == 2, "the back-off is not over"
    assert not desk.writer.idle
    while desk.failures:
        before = desk.failures
        desk.now = desk.writer.next_deadline() or desk.now
        desk.until(lambda failures=before: desk.failures < failures)
        desk.until(lambda: desk.writer.state is WriterState.REFUSED)
    assert known(desk.journal) == []
    desk.now = desk.writer.next_deadline() or desk.now
    desk.until(lambda: len(desk.told) == 3)
    assert desk.batches == [1, 2], "one tries, the others follow"
    assert known(desk.journal) == ["job-0", "job-1", "job-2"]
    assert [trouble is None for trouble in desk.troubles] == [False, True]


def test_fault_10_a_locked_journal_is_a_storage_error(make: Maker, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waspi.journal.connection.BUSY_TIMEOUT_S", 0.01)
    desk = make()
    blocker = open_for_writing(path, desk.journal.quotas)  # another process, as far as SQLite is concerned
    blocker.execute("BEGIN IMMEDIATE")
    desk.enter(receive(0))
    desk.until(lambda: desk.troubles)
    assert "another process keeps it locked" in str(desk.troubles[0])
    blocker.execute("ROLLBACK")
    blocker.close()
    desk.now += 60.0
    desk.until(lambda: desk.told)


# --- which thread does what: the loop's never waits for the disk or for another process -------------------------------


def test_a_durable_commit_is_the_thread_s_and_the_sql_is_not(make: Maker) -> None:
    desk = make()
    desk.commit(receive(0))
    assert desk.threads == {"prepare": [LOOP], "complete": [THREAD], "checkpoint": [], "counters": []}
    assert desk.writer.state is WriterState.READY


def test_the_loop_waits_for_a_fast_disk_itself(make: Maker) -> None:
    desk = make(fast_s=60.0)  # this disk is faster
    for number in range(40):
        desk.commit(receive(number))
    assert desk.threads["complete"][0] == THREAD  # nothing was known
    assert set(desk.threads["complete"][20:]) == {LOOP}
    assert len(known(desk.journal)) == 40


def test_one_slow_commit_hands_the_next_ones_to_the_thread(make: Maker) -> None:
    desk = make(fast_s=60.0)
    for number in range(40):
        desk.commit(receive(number))
    desk.writer._commit_s = 61.0  # as after a commit that took so long
    desk.commit(receive(40))
    assert desk.threads["complete"][-2:] == [LOOP, THREAD]


def test_without_durability_the_loop_commits_at_once(make: Maker) -> None:
    desk = make(durable=False)
    desk.enter(at_once())
    assert desk.writer.flush()
    assert [outcome for _, outcome in desk.told] == list(desk.journal.reader.outbox())
    assert desk.threads["complete"] == [LOOP]


@pytest.mark.parametrize("durable", [True, False])
def test_a_large_batch_is_all_the_thread_s(make: Maker, durable: bool) -> None:
    desk = make(durable=durable)
    desk.commit(Receive(a_row(body=bytes(200_000))))
    assert desk.threads["prepare"] == desk.threads["complete"] == [THREAD]
    desk.commit(*(Receive(a_row(f"many-{number}")) for number in range(300)))
    assert set(desk.threads["prepare"]) == {THREAD}


@pytest.mark.parametrize("durable", [True, False])
def test_a_lock_of_another_process_keeps_only_the_thread_waiting(make: Maker, path: Path, durable: bool) -> None:
    desk = make(durable=durable)
    other = open_for_writing(path, desk.journal.quotas)
    other.execute("BEGIN IMMEDIATE")
    desk.enter(receive(1))
    assert not desk.writer.flush()  # comes back although nobody lets go of the lock
    assert desk.writer.state is WriterState.COMMITTING
    other.execute("ROLLBACK")
    other.close()
    desk.enter(receive(2))
    desk.until(lambda: len(desk.told) == 2)
    assert known(desk.journal) == ["job-1", "job-2"]
    assert THREAD in desk.threads["prepare"]


@pytest.mark.parametrize("durable", [True, False])
def test_checkpoints_and_counters_are_the_thread_s(make: Maker, path: Path, durable: bool) -> None:
    desk = make(durable=durable, fast_s=60.0)
    number = 3 * CHECKPOINT_PAGES
    for start in range(0, number, 50):
        desk.commit(*(at_once(f"job-{n}") for n in range(start, start + 50)))
    desk.until(lambda: not desk.thread.busy)
    assert desk.threads["checkpoint"] == [THREAD] * 3
    assert set(desk.threads["counters"]) == {THREAD}
    assert desk.threads["complete"].count(THREAD) < len(desk.threads["complete"]) / 2
    # The log begins anew after a checkpoint: else it would hold every page of 3,000 jobs, about 9 MB.
    assert path.with_name(f"{path.name}-wal").stat().st_size < 6 << 20
    assert desk.journal.usage.outbox_messages == number


@pytest.mark.parametrize("durable", [True, False])
def test_a_commit_is_told_before_the_checkpoint_that_follows_it(
    make: Maker, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    desk = make(durable=durable)
    go_on, begun = threading.Event(), threading.Event()
    checkpoint = desk.journal.checkpoint

    def waiting() -> None:
        begun.set()
        assert go_on.wait(20)
        checkpoint()

    monkeypatch.setattr(desk.journal, "checkpoint", waiting)
    number = 0
    while not begun.is_set():
        assert number < 3 * CHECKPOINT_PAGES
        desk.commit(*(receive(n) for n in range(number, number + 50)))
        number += 50
        if desk.thread.busy:
            begun.wait(0.1)
    assert desk.thread.busy
    assert len(desk.told) == number
    desk.enter(receive(number))
    desk.turn()
    assert len(desk.told) == number
    assert desk.writer.next_deadline() is None
    go_on.set()
    desk.until(lambda: len(desk.told) == number + 1)


def test_what_another_process_changes_is_looked_up(make: Maker, path: Path) -> None:
    desk = make(durable=False)
    desk.commit(receive(1))
    other = open_for_writing(path, desk.journal.quotas)
    other.execute("UPDATE job SET state = 5")  # FAILED
    other.close()
    (outcome,) = desk.commit(Finish(finished("job-1").row, True, None))
    assert isinstance(outcome, IllegalTransitionError)
    stored = desk.journal.reader.job("job-1")
    assert stored is not None
    assert stored.state is JobState.FAILED
