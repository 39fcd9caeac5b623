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
from waspi.journal.operations import Deliver, Finish, Operation, Prune, Receive, Requeue, Sent, Start
from waspi.model.state import JobState, may_become

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
        (outcome,) = self.journal.commit([[operation]])
        assert isinstance(outcome, IllegalTransitionError) is not legal
        if isinstance(outcome, tuple):
            for row in outcome:
                assert row.id > self.highest
                self.highest = row.id
                self.outbox[row.id] = (row.entry.job_id, row.entry.payload)
        return outcome

    @rule(job_id=IDS, body=BLOBS, at_once=st.booleans(), priority=st.integers(-2, 2))
    def receive(self, job_id: str, body: bytes, at_once: bool, priority: int) -> None:
        state, attempt = (JobState.IN_PROGRESS, 1) if at_once else (JobState.QUEUED, 0)
        legal = job_id not in self.jobs
        self.step(Receive(a_row(job_id, body=body, state=state, attempt=attempt, priority=priority)), legal=legal)
        if legal:
            self.jobs[job_id] = (state, attempt, body, None)
            self.received += 1

    @rule(job_id=IDS, attempt=st.integers(1, 3))
    def start(self, job_id: str, attempt: int) -> None:
        state, attempts, body, result = self.jobs.get(job_id, (JobState.FAILED, 0, b"", None))
        legal = job_id in self.jobs and may_become(state, JobState.IN_PROGRESS) and attempt == attempts + 1
        self.step(Start(job_id, attempt), legal=legal)
        if legal:
            self.jobs[job_id] = (JobState.IN_PROGRESS, attempt, body, result)

    @rule(job_id=IDS)
    def requeue(self, job_id: str) -> None:
        state, attempts, body, result = self.jobs.get(job_id, (JobState.FAILED, 0, b"", None))
        legal = job_id in self.jobs and may_become(state, JobState.QUEUED)
        self.step(Requeue(job_id), legal=legal)
        if legal:
            self.jobs[job_id] = (JobState.QUEUED, attempts, body, result)

    @rule(job_id=IDS, state=st.sampled_from(JobState), result=BLOBS, tell=st.sampled_from(["same", "other", "no"]))
    def finish(self, job_id: str, state: JobState, result: bytes, tell: str) -> None:
        before = self.jobs.get(job_id)
        legal = before is not None and state.final and may_become(before[0], state)
        entry = None if tell == "no" else an_entry(job_id, result if tell == "same" else result + b"!")
        self.step(Finish(job_id, state, result, entry), legal=legal)
        if legal and before is not None:
            self.jobs[job_id] = (state, before[1], b"", result)

    @rule(job_id=st.none() | IDS, payload=BLOBS)
    def deliver(self, job_id: str | None, payload: bytes) -> None:
        stored = self.jobs[job_id][3] if job_id in self.jobs else None
        self.step(Deliver(an_entry(job_id, payload if stored is None else stored)), legal=True)

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
        for known in self.journal.reader.known():
            row = self.journal.reader.job(known.id)
            assert row is not None
            assert row.state is known.state
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
        assert usage.queued == states.count(JobState.QUEUED) == len(self.journal.reader.queued(100))
        assert usage.running == states.count(JobState.IN_PROGRESS) == len(self.journal.reader.interrupted())
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
