"""Rows for the tests of the journal, each field overridable."""

from __future__ import annotations

import hashlib
from typing import Any

from waspi.journal.journal import Journal
from waspi.journal.operations import Finish, Operation, Receive
from waspi.journal.rows import JobRow, OutboxEntry, OutboxRow
from waspi.model.state import JobState

NOW = 1_700_000_000.25


def a_row(job_id: str = "job-1", **fields: object) -> JobRow:
    body = fields.get("body", b"what to run")
    assert isinstance(body, bytes)
    values: dict[str, Any] = {
        "id": job_id,
        "body_hash": hashlib.sha256(body).digest(),
        "state": JobState.QUEUED,
        "received_at": NOW,
        "topic": "waspi/v1/home/device/one/job",
        "module": "sha256:00",
        "body": body,
    }
    return JobRow(**(values | fields))


def running(job_id: str = "job-1", **fields: object) -> JobRow:
    return a_row(job_id, state=JobState.IN_PROGRESS, attempt=1, **fields)


def an_entry(job_id: str | None = "job-1", payload: bytes = b"result", **fields: object) -> OutboxEntry:
    return OutboxEntry(f"waspi/v1/home/device/one/result/{job_id}", payload, job_id=job_id, **fields)


def finished(job_id: str = "job-1", result: bytes = b"result", state: JobState = JobState.SUCCEEDED) -> Finish:
    return Finish(job_id, state, result, an_entry(job_id, result))


def commit(journal: Journal, *operations: Operation) -> list[OutboxRow]:
    """One group in one commit; raises what became of it when it was not done."""
    outcome = journal.commit([operations])[0]
    if isinstance(outcome, BaseException):
        raise outcome
    return list(outcome)


def done(journal: Journal, job_id: str, **fields: object) -> OutboxRow:
    """A job from receipt to result."""
    return commit(journal, Receive(running(job_id, **fields)), finished(job_id))[0]
