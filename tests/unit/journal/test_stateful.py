"""The journal against a dictionary: any sequence of operations, restarts included, and both say the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.journal.sample import NOW, a_row, an_entry
from waspi.errors import IllegalTransitionError
from waspi.journal.journal import Journal, Outcome
from waspi.journal.operations import Count, Finish, Operation, Prune, Receive, Sent
from waspi.journal.rows import OutboxRow
from waspi.model.state import JobState

IDS = st.sampled_from([f"job-{number}" for number in range(8)])
BLOBS = st.binary(max_size=30) | st.integers(1, 5).map(lambda n: bytes(n * 900))


class JournalMachine(RuleBasedStateMachine):
    """``jobs``: id -> (state, attempt, body, result). ``outbox``: id -> (job id, payload)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.journal = Journal.open(self.folder / "journal.db")
        # Durability is not the point here (the crash tests are about it), and an fsync for each step takes long.
        self._hurry()
        self.jobs: dict[str, tuple[JobState, int, bytes, bytes | None]] = {}
        self.outbox: dict[int, tuple[str | None, bytes]] = {}
        self.received = 0
        self.boots = 1
        self.highest = 0

    def _hurry(self) -> None:
        assert self.journal._connection is not None
        self.journal._connection.execute("PRAGMA synchronous = OFF")

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    def step(self, operation: Operation, *, legal: bool) -> Outcome:
        (outcome,) = self.journal.commit([operation])
        assert isinstance(outcome, IllegalTransitionError) is not legal
        if isinstance(outcome, OutboxRow):
            assert outcome.id > self.highest
            self.highest = outcome.id
            self.outbox[outcome.id] = (outcome.entry.job_id, outcome.entry.payload)
        return outcome

    @rule(job_id=IDS, body=BLOBS, attempt=st.integers(0, 2), priority=st.integers(-2, 2))
    def receive(self, job_id: str, body: bytes, attempt: int, priority: int) -> None:
        legal = job_id not in self.jobs
        self.step(Receive(a_row(job_id, body=body, attempt=attempt, priority=priority)), legal=legal)
        if legal:
            self.jobs[job_id] = (JobState.QUEUED, attempt, body, None)
            self.received += 1

    @rule(job_id=IDS, attempt=st.integers(1, 3))
    def count(self, job_id: str, attempt: int) -> None:
        state, _, body, result = self.jobs.get(job_id, (JobState.FAILED, 0, b"", None))
        legal = not state.final
        self.step(Count(job_id, attempt), legal=legal)
        if legal:
            self.jobs[job_id] = (state, attempt, body, result)

    @rule(
        job_id=IDS,
        state=st.sampled_from(JobState),
        received=st.booleans(),
        result=BLOBS,
        tell=st.sampled_from(["same", "other", "no"]),
    )
    def finish(self, job_id: str, state: JobState, received: bool, result: bytes, tell: str) -> None:
        before = self.jobs.get(job_id)
        legal = state.final and (before is not None and not before[0].final if received else before is None)
        entry = None if tell == "no" else an_entry(job_id, result if tell == "same" else result + b"!")
        row = a_row(job_id, state=state, attempt=1, body=b"", result=result)
        self.step(Finish(row, received, entry), legal=legal)
        if legal:
            self.jobs[job_id] = (state, 1, b"", result)
            self.received += not received

    @precondition(lambda self: self.outbox)
    @rule(data=st.data())
    def sent(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.outbox)))
        self.step(Sent(chosen), legal=True)
        self.step(Sent(chosen), legal=True)
        del self.outbox[chosen]

    @rule()
    def prune_what_is_not_due(self) -> None:
        self.step(Prune(NOW), legal=True)

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.folder / "journal.db")
        self._hurry()
        self.boots += 1
        assert self.journal.damage == ()

    @invariant()
    def the_rows_are_the_model_s(self) -> None:
        stored = {}
        for listed in self.journal.reader.recent(100):
            row = self.journal.reader.job(listed.id)
            assert row is not None
            assert row.state is listed.state is self.journal.reader.state(row.id)
            stored[row.id] = (row.state, row.attempt, row.body, row.result)
        assert stored == self.jobs
        messages = {row.id: (row.entry.job_id, row.entry.payload) for row in self.journal.reader.outbox(limit=1000)}
        assert messages == self.outbox
        assert list(messages) == sorted(messages)

    @invariant()
    def the_totals_are_the_model_s(self) -> None:
        usage = self.journal.usage
        states = [state for state, *_ in self.jobs.values()]
        assert usage.jobs == len(self.jobs)
        assert usage.open == states.count(JobState.QUEUED) == len(self.journal.reader.queued(100))
        assert usage.inbox_bytes == sum(len(body) for _, _, body, _ in self.jobs.values())
        assert usage.result_bytes == sum(len(result or b"") for *_, result in self.jobs.values())
        assert usage.outbox_messages == len(self.outbox)
        assert usage.outbox_bytes >= sum(len(payload) for _, payload in self.outbox.values())
        counters = self.journal.counters
        assert counters.received == self.received
        assert counters.boots == self.boots
        assert counters.succeeded == states.count(JobState.SUCCEEDED)


JournalMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestJournalAgainstAModel = JournalMachine.TestCase
