"""Which thread does what: the caller's never waits for the disk or for another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.journal.sample import a_row, an_entry, finished, running
from waspi.errors import IllegalTransitionError
from waspi.journal import counters
from waspi.journal.connection import CHECKPOINT_PAGES, open_for_writing
from waspi.journal.journal import Journal
from waspi.journal.operations import Finish, Operation, Receive, Sent
from waspi.journal.writer import Committed, Completion, Failed, Writer
from waspi.model.state import JobState

CALLER, WRITER = "MainThread", "journal"


class Desk:
    """A writer, and a note of the thread that did each part of its work."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool, fast_s: float = 0.0) -> None:
        self.journal = Journal.open(path, durable=durable)
        self.threads: dict[str, list[str]] = {"prepare": [], "complete": [], "checkpoint": [], "counters": []}
        for part in ("prepare", "complete", "checkpoint"):
            monkeypatch.setattr(self.journal, part, self._noted(part, getattr(self.journal, part)))
        monkeypatch.setattr(counters, "write_durably", self._noted("counters", counters.write_durably))
        self._awake = threading.Event()
        self.writer = Writer(self.journal, self._awake.set, linger_s=600, fast_s=fast_s)
        self.completions: list[Completion] = []

    def _noted(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the part takes and gives
            self.threads[part].append(threading.current_thread().name)
            return act(*arguments, **options)

        return noted

    def submit(self, *groups: Sequence[Operation]) -> list[Completion]:
        """Submit, and wait for what becomes of it."""
        wanted = len(self.completions) + len(groups)
        self.writer.submit_all(groups)
        give_up = time.monotonic() + 20
        self.completions += self.writer.completed()
        while len(self.completions) < wanted:
            assert self._awake.wait(give_up - time.monotonic())
            self._awake.clear()
            self.completions += self.writer.completed()
        return self.completions[-len(groups) :]


@pytest.fixture
def desk(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(durable: bool, fast_s: float = 0.0) -> Desk:
        made.append(Desk(path, monkeypatch, durable=durable, fast_s=fast_s))
        return made[-1]

    yield make
    for each in made:
        each.writer.stop()
        each.journal.close()


def test_a_durable_commit_is_the_threads_and_the_sql_is_not(desk: Callable[..., Desk]) -> None:
    durable = desk(True)
    assert isinstance(durable.submit([Receive(a_row())])[0], Committed)
    assert durable.threads == {"prepare": [CALLER], "complete": [WRITER], "checkpoint": [], "counters": []}
    assert not durable.writer.busy


def test_the_caller_waits_for_a_fast_disk_itself(desk: Callable[..., Desk]) -> None:
    durable = desk(True, 60.0)  # this disk is faster
    for number in range(40):
        durable.submit([Receive(a_row(f"job-{number}"))])
    assert durable.threads["complete"][0] == WRITER  # nothing was known
    assert set(durable.threads["complete"][20:]) == {CALLER}
    assert len(durable.journal.reader.known()) == 40


def test_one_slow_commit_hands_the_next_ones_to_the_thread(desk: Callable[..., Desk]) -> None:
    durable = desk(True, 60.0)
    for number in range(40):
        durable.submit([Receive(a_row(f"job-{number}"))])
    durable.writer._commit_s = 61.0  # as after a commit that took so long
    durable.submit([Receive(a_row("slow"))])
    assert durable.threads["complete"][-2:] == [CALLER, WRITER]


def test_without_durability_the_caller_commits_at_once(desk: Callable[..., Desk]) -> None:
    relaxed = desk(False)
    ticket = relaxed.writer.submit([Receive(running()), finished()])
    assert relaxed.writer.ready
    (completion,) = relaxed.writer.completed()
    assert completion == Committed(ticket, tuple(relaxed.journal.reader.outbox()))
    assert relaxed.threads["complete"] == [CALLER]
    assert not relaxed.writer.ready


def test_what_is_not_urgent_is_done_with_what_is(desk: Callable[..., Desk]) -> None:
    relaxed = desk(False)
    relaxed.submit([Receive(running()), finished()])
    relaxed.writer.submit([Sent(1)])
    assert not relaxed.writer.ready
    relaxed.submit([Receive(a_row("job-2"))])
    assert relaxed.journal.reader.outbox() == []
    assert len(relaxed.threads["complete"]) == 2


@pytest.mark.parametrize("durable", [True, False])
def test_a_large_batch_is_all_the_threads(desk: Callable[..., Desk], durable: bool) -> None:
    either = desk(durable)
    assert isinstance(either.submit([Receive(a_row(body=bytes(200_000)))])[0], Committed)
    assert either.threads["prepare"] == either.threads["complete"] == [WRITER]
    many = [[Receive(a_row(f"many-{number}"))] for number in range(300)]
    assert all(isinstance(completion, Committed) for completion in either.submit(*many))
    assert set(either.threads["prepare"]) == {WRITER}


@pytest.mark.parametrize("durable", [True, False])
def test_a_lock_of_another_process_keeps_only_the_thread_waiting(
    desk: Callable[..., Desk], path: Path, durable: bool
) -> None:
    either = desk(durable)
    other = open_for_writing(path, either.journal.quotas)
    other.execute("BEGIN IMMEDIATE")
    either.writer.submit([Receive(a_row())])  # comes back although nobody lets go of the lock
    assert either.writer.completed() == []
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(either.submit([Receive(a_row("job-2"))])[-1], Committed)
    either.writer.stop()
    assert [job.id for job in either.journal.reader.known()] == ["job-1", "job-2"]
    assert WRITER in either.threads["prepare"]


@pytest.mark.parametrize("durable", [True, False])
def test_checkpoints_and_counters_are_the_threads(desk: Callable[..., Desk], path: Path, durable: bool) -> None:
    relaxed = desk(durable, 60.0)
    number = 3 * CHECKPOINT_PAGES
    for start in range(0, number, 50):
        relaxed.submit(*[[Receive(running(f"job-{n}")), finished(f"job-{n}")] for n in range(start, start + 50)])
    assert relaxed.threads["checkpoint"] == [WRITER] * 3
    assert set(relaxed.threads["counters"]) == {WRITER}
    assert relaxed.threads["complete"].count(WRITER) < len(relaxed.threads["complete"]) / 2
    # The log begins anew after a checkpoint: else it would hold every page of 3,000 jobs, about 9 MB.
    assert path.with_name(f"{path.name}-wal").stat().st_size < 6 << 20
    assert relaxed.journal.usage.outbox_messages == number


@pytest.mark.parametrize("durable", [True, False])
def test_a_commit_is_told_before_the_checkpoint_that_follows_it(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    either = desk(durable)
    go_on, begun = threading.Event(), threading.Event()
    checkpoint = either.journal.checkpoint

    def waiting() -> None:
        begun.set()
        assert go_on.wait(20)
        checkpoint()

    monkeypatch.setattr(either.journal, "checkpoint", waiting)
    number = 0
    while not begun.is_set():
        assert number < 3 * CHECKPOINT_PAGES
        either.submit(*[[Receive(a_row(f"job-{n}"))] for n in range(number, number + 50)])
        number += 50
        if either.writer.busy:
            begun.wait(0.1)
    assert either.writer.busy
    assert len(either.completions) == number
    either.writer.submit([Receive(a_row("late"))])
    assert either.writer.completed() == []
    go_on.set()
    either.writer.stop()
    assert len(either.journal.reader.known(limit=10_000)) == number + 1


def test_what_another_process_changes_is_looked_up(desk: Callable[..., Desk], path: Path) -> None:
    relaxed = desk(False)
    relaxed.submit([Receive(running())])
    other = open_for_writing(path, relaxed.journal.quotas)
    other.execute("UPDATE job SET state = 5")  # FAILED
    other.close()
    (completion,) = relaxed.submit([Finish("job-1", JobState.SUCCEEDED, b"late", None)])
    assert isinstance(completion, Failed)
    assert isinstance(completion.error, IllegalTransitionError)


@pytest.mark.parametrize("durable", [True, False])
def test_a_known_id_fails_alone_in_a_batch(desk: Callable[..., Desk], durable: bool) -> None:
    either = desk(durable)
    either.submit([Receive(a_row("job-0"))])
    completions = either.submit(
        [Receive(running("job-1"))],
        [Receive(a_row("job-0"))],
        [finished("job-1")],
        [Receive(a_row("job-2")), Receive(a_row("job-2"))],
        [Receive(a_row("job-3"))],
    )
    assert [type(each) for each in completions] == [Committed, Failed, Committed, Failed, Committed]
    assert [(job.id, job.state) for job in either.journal.reader.known()] == [
        ("job-0", JobState.QUEUED),
        ("job-1", JobState.SUCCEEDED),
        ("job-3", JobState.QUEUED),
    ]
    assert [row.entry for row in either.journal.reader.outbox()] == [an_entry("job-1")]
