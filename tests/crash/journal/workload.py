"""A small agent without a broker and without guests: all that it does is what the journal has to make safe.

Run as ``python -m tests.crash.journal.workload`` it forks a child for each line on its standard input,
``<state folder> <file of notes> <jobs> <full or relaxed>``, and answers with the child's wait status. The child
redelivers what was never acknowledged, runs what an earlier life left and every job, publishes every result, and notes
each thing that the world outside would have seen: ``ack``, ``run``, ``publish``. The notes are appended with
``write(2)`` and so survive a kill of the process.
"""

from __future__ import annotations

import hashlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal import connection, writer
from waspi.journal.journal import Journal, Outcome
from waspi.journal.operations import Count, Finish, Operation, Receive, Sent
from waspi.journal.rows import JobRow, OutboxEntry
from waspi.journal.writer import CommitThread, Writer
from waspi.model.state import JobState

WINDOW = 3
"""Jobs under way at a time: enough for commits that carry several."""


def body_of(number: int) -> bytes:
    """The job's body; each fifth is larger than a page."""
    return bytes([number % 251]) * (5000 if number % 5 == 0 else 40)


def result_of(number: int) -> bytes:
    """What running the job yields; always the same, so that any other bytes are an error."""
    return f"result of {number} ".encode() * (200 if number % 7 == 0 else 2)


def takes_long(number: int) -> bool:
    """Every other job gets its receipt before it has ended."""
    return number % 2 == 0


class Agent:
    """The loop; it waits for each commit before it lets anything out."""

    def __init__(self, folder: Path, notes: Path, jobs: int, *, durable: bool) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        told = notes.read_text().splitlines()
        self._acked = {int(line.split()[1]) for line in told if line.startswith("ack ")}
        self._begun = {int(line.split()[1]) for line in told if line.startswith("run ")}
        self._jobs = jobs
        self._done = 0
        self._shift_s = 0.0
        self._journal = Journal.open(folder / "journal.db", durable=durable)
        for line in self._journal.damage:
            self.note(f"damage {line}")
        self._thread = CommitThread(self._journal)
        self._writer = Writer(self._journal, self, self._thread, lambda: time.monotonic() + self._shift_s)

    def note(self, line: str) -> None:
        os.write(self._notes, f"{line}\n".encode())

    def on_committed(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        self._done += len(operations)
        for outcome in outcomes:
            if isinstance(outcome, IllegalTransitionError):
                raise outcome

    def on_disk(self, trouble: StorageError | None) -> None:
        if trouble is not None:
            self.note("degraded")

    def work(self) -> None:
        for row in self._journal.reader.queued(self._jobs):  # an earlier life took them in, and may have run them
            self._commit([Count(row.id, row.attempt + 1)])
            self._run([row], received=True)
        numbers = deque(range(self._jobs))
        while numbers:
            self._window([numbers.popleft() for _ in range(min(WINDOW, len(numbers)))])
        self._publish_all()
        self._writer.close()
        self._journal.close()

    def _window(self, numbers: list[int]) -> None:
        """Jobs come in, unless the broker has an acknowledgement for them."""
        fresh: list[JobRow] = []
        for number in numbers:
            if number in self._acked:
                continue
            known = self._journal.reader.job(f"job-{number}")
            if known is None:
                fresh.append(row_of(number))
                continue
            if known.body_hash != row_of(number).body_hash:
                raise AssertionError(f"job {number} came back with another hash")
            self.note(f"ack {number}")
        long = [row for row in fresh if takes_long(number_of(row)) or number_of(row) in self._begun]
        self._commit([Receive(row) for row in long])
        for row in long:
            self.note(f"ack {number_of(row)}")
        short = [row for row in fresh if row not in long]
        self._run(short, received=False)
        for row in short:
            self.note(f"ack {number_of(row)}")
        self._publish_all()
        self._run(long, received=True)

    def _run(self, rows: list[JobRow], *, received: bool) -> None:
        for row in rows:
            if row.body != body_of(number_of(row)):
                raise AssertionError(f"{row.id} has another body")
            self.note(f"run {number_of(row)}")
        self._commit([finish(row, received=received) for row in rows])
        if received:
            self._publish_all()

    def _publish_all(self) -> None:
        sent: list[Operation] = []
        for row in self._journal.reader.outbox(limit=1000):
            payload = row.entry.payload
            self.note(f"publish {row.id} {row.entry.job_id} {hashlib.sha256(payload).hexdigest()}")
            sent.append(Sent(row.id))
        self._commit(sent)

    def _commit(self, operations: Sequence[Operation]) -> None:
        """Enter, and wait until all of it is on the disk, however often that refuses."""
        wanted = self._done + len(operations)
        for operation in operations:
            self._writer.enter(operation)
        give_up = time.monotonic() + 20
        while self._done < wanted:
            if time.monotonic() > give_up:
                raise AssertionError("the writer does not answer")
            due = self._writer.next_deadline()
            if due:  # nobody waits here: neither for company nor for the back-off
                self._shift_s += max(0.0, due - time.monotonic() - self._shift_s)
            self._writer.flush()
            if self._done < wanted and select.select([self._thread.descriptor], [], [], 0 if due else 1)[0]:
                self._writer.settle()


def row_of(number: int) -> JobRow:
    body = body_of(number)
    return JobRow(
        id=f"job-{number}",
        body_hash=hashlib.sha256(body).digest(),
        state=JobState.QUEUED,
        received_at=1_700_000_000.5 + number,
        topic="waspi/v1/home/device/one/job",
        module="sha256:00",
        body=body,
    )


def number_of(row: JobRow) -> int:
    return int(row.id.removeprefix("job-"))


def finish(row: JobRow, *, received: bool) -> Finish:
    result = result_of(number_of(row))
    entry = OutboxEntry(f"waspi/v1/home/device/one/result/{row.id}", result, b"c", "application/cbor", (), row.id)
    ended = JobRow(
        row.id, row.body_hash, JobState.SUCCEEDED, row.received_at, row.topic, row.module, b"", attempt=1, result=result
    )
    return Finish(ended, received, entry)


def child(folder: str, notes: str, jobs: str, sync: str) -> int:
    """One life of the agent; 75 (``EX_TEMPFAIL``) when the disk did not let it start or read."""
    try:
        Agent(Path(folder), Path(notes), int(jobs), durable=sync == "full").work()
    except StorageError as error:
        print(f"{error}", file=sys.stderr)
        return 75
    return 0


def main() -> None:
    # So that a short life has checkpoints, too. In this process only: tests import what is above.
    connection.CHECKPOINT_PAGES = writer.CHECKPOINT_PAGES = 40  # type: ignore[misc, attr-defined]
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = child(*line.split())
            except BaseException:  # noqa: BLE001 - a child must never return into the loop
                sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(code)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
