"""Rows for the tests of the journal, each field overridable."""

from __future__ import annotations

import hashlib
from typing import Any

from waspi.journal.journal import Journal
from waspi.journal.operations import Finish, Operation
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


def an_entry(job_id: str | None = "job-1", payload: bytes = b"result", **fields: Any) -> OutboxEntry:  # noqa: ANN401
    return OutboxEntry(f"waspi/v1/home/device/one/result/{job_id}", payload, job_id=job_id, **fields)


def finished(
    job_id: str = "job-1", result: bytes = b"result", state: JobState = JobState.SUCCEEDED, **fields: object
) -> Finish:
    """The end of a job whose receipt went before."""
    row = a_row(job_id, **({"attempt": 1} | fields | {"state": state, "body": b"", "result": result}))
    return Finish(row, True, an_entry(job_id, result))


def at_once(
    job_id: str = "job-1", result: bytes = b"result", state: JobState = JobState.SUCCEEDED, **fields: object
) -> Finish:
    """A job from receipt to result in one operation."""
    body = fields.pop("body", b"what to run")
    assert isinstance(body, bytes)
    row = finished(job_id, result, state, body_hash=hashlib.sha256(body).digest(), **fields).row
    return Finish(row, False, an_entry(job_id, result))


def commit(journal: Journal, *operations: Operation) -> list[OutboxRow]:
    """Operations in one commit, the rows that they made; raises the first reason why one was not done."""
    outcomes = journal.commit(operations)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, OutboxRow)]


def done(journal: Journal, job_id: str, **fields: Any) -> OutboxRow:  # noqa: ANN401
    """A job from receipt to result."""
    return commit(journal, at_once(job_id, **fields))[0]


def known(journal: Journal) -> list[str]:
    """Ids of all jobs, in order of arrival."""
    return [row.id for row in reversed(journal.reader.recent(100_000))]
