"""A small agent without a broker and without guests: all that it does is what the journal has to make safe.

Run as ``python -m tests.crash.journal.workload`` it forks a child for each line on its standard input,
``<state folder> <file of notes> <jobs> <full or relaxed>``, and answers with the child's wait status. The child
redelivers what was never acknowledged, recovers, runs every job, publishes every result, and notes each thing that the
world outside would have seen: ``ack``, ``run``, ``publish``. The notes are appended with ``write(2)`` and so survive a
kill of the process.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path

from waspi.errors import StorageError
from waspi.journal import connection, writer
from waspi.journal.journal import Journal
from waspi.journal.operations import Deliver, Finish, Operation, Receive, Requeue, Sent, Start
from waspi.journal.rows import JobRow, OutboxEntry
from waspi.journal.writer import Committed, Writer
from waspi.model.state import JobState

WINDOW = 3
"""Jobs under way at a time: enough for commits that carry several."""


def body_of(number: int) -> bytes:
    """The job's body; each fifth is larger than a page."""
    return bytes([number % 251]) * (5000 if number % 5 == 0 else 40)


def result_of(number: int) -> bytes:
    """What running the job yields; always the same, so that any other bytes are an error."""
    return f"result of {number} ".encode() * (200 if number % 7 == 0 else 2)


def idempotent(number: int) -> bool:
    """Each third may run twice."""
    return number % 3 == 0


def queued_first(number: int) -> bool:
    """Every other job waits in the queue and starts in a commit of its own."""
    return number % 2 == 0


class Agent:
    """The loop; it waits for each commit before it lets anything out."""

    def __init__(self, folder: Path, notes: Path, jobs: int, *, durable: bool) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        told = notes.read_text().splitlines()
        self._acked = {int(line.split()[1]) for line in told if line.startswith("ack ")}
        self._jobs = jobs
        self._ready = threading.Event()
        self._journal = Journal.open(folder / "journal.db", durable=durable)
        for line in self._journal.damage:
            self.note(f"damage {line}")
        self._writer = Writer(self._journal, self._ready.set, linger_s=0.001)
        self._retry: deque[list[Operation]] = deque()

    def note(self, line: str) -> None:
        os.write(self._notes, f"{line}\n".encode())

    def work(self) -> None:
        self._recover()
        numbers = deque(range(self._jobs))
        while numbers:
            self._window([numbers.popleft() for _ in range(min(WINDOW, len(numbers)))])
        for row in self._journal.reader.queued(self._jobs):  # acknowledged before the crash, not started yet
            self._start_and_run([row])
        self._publish_all()
        self._writer.stop()
        self._journal.close()

    def _recover(self) -> None:
        for row in self._journal.reader.interrupted():
            if row.idempotent:
                self._commit([[Requeue(row.id)]])
            else:
                self._commit([[finish(row, JobState.FAILED, b"interrupted")]])

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
            if known.result is not None:
                self._commit([[Deliver(entry(known.id, known.result))]])
            self.note(f"ack {number}")
        self._commit([[Receive(row)] for row in fresh])
        for row in fresh:
            self.note(f"ack {number_of(row)}")
        self._run([row for row in fresh if row.state is JobState.IN_PROGRESS])
        self._start_and_run(self._journal.reader.queued(WINDOW))

    def _start_and_run(self, rows: list[JobRow]) -> None:
        self._commit([[Start(row.id, row.attempt + 1)] for row in rows])
        self._run(rows)

    def _run(self, rows: list[JobRow]) -> None:
        for row in rows:
            if row.body != body_of(number_of(row)):
                raise AssertionError(f"{row.id} has another body")
            self.note(f"run {number_of(row)}")
        self._commit([[finish(row, JobState.SUCCEEDED, result_of(number_of(row)))] for row in rows])
        self._publish_all()

    def _publish_all(self) -> None:
        sent: list[Operation] = []
        for row in self._journal.reader.outbox(limit=1000):
            payload = row.entry.payload
            self.note(f"publish {row.id} {row.entry.job_id} {hashlib.sha256(payload).hexdigest()}")
            sent.append(Sent(row.id))
        if sent:
            self._commit([sent])

    def _commit(self, groups: list[list[Operation]]) -> None:
        """Submit, and submit again in the same order what the disk refused (:class:`Writer` says how)."""
        pending = {self._writer.submit(group): group for group in groups}
        deadline = time.monotonic() + 20
        while pending:
            if not self._writer.ready and not self._ready.wait(max(0.0, deadline - time.monotonic())):
                raise AssertionError("the writer does not answer")
            self._ready.clear()
            failed: list[list[Operation]] = []
            for completion in self._writer.completed():
                group = pending.pop(completion.ticket)
                if isinstance(completion, Committed):
                    continue
                if not isinstance(completion.error, StorageError):
                    raise completion.error
                failed.append(group)
            if failed:
                self.note("degraded")
            pending.update({self._writer.submit(group): group for group in failed})


def row_of(number: int) -> JobRow:
    body = body_of(number)
    return JobRow(
        id=f"job-{number}",
        body_hash=hashlib.sha256(body).digest(),
        state=JobState.QUEUED if queued_first(number) else JobState.IN_PROGRESS,
        attempt=0 if queued_first(number) else 1,
        idempotent=idempotent(number),
        received_at=1_700_000_000.5 + number,
        topic="waspi/v1/home/device/one/job",
        module="sha256:00",
        body=body,
    )


def number_of(row: JobRow) -> int:
    return int(row.id.removeprefix("job-"))


def entry(job_id: str, result: bytes) -> OutboxEntry:
    return OutboxEntry(f"waspi/v1/home/device/one/result/{job_id}", result, b"c", "application/cbor", (), job_id)


def finish(row: JobRow, state: JobState, result: bytes) -> Finish:
    return Finish(row.id, state, result, entry(row.id, result))


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
    connection.CHECKPOINT_PAGES = writer.CHECKPOINT_PAGES = 40  # type: ignore[misc]
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
