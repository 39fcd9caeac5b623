"""What a task is told that ends with its worker, and in which state a failed one ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.errors import CanceledError, TimeLimitError, WorkerError
from waspi.model.state import JobState
from waspi.sandbox.compile_queue import as_job_error

if TYPE_CHECKING:
    from waspi.model.result import JobError
    from waspi.sandbox.assignment import Assignment
    from waspi.sandbox.worker_handle import WorkerHandle


def cause_of(worker: WorkerHandle, assignment: Assignment, *, head: bool) -> JobError:
    """Why the task of a worker that is gone has failed; ``head``: the worker owed this one's answer next."""
    if assignment.stopping:
        return as_job_error(CanceledError("the job was canceled; its worker did not stop and was killed"))
    if worker.timed_out and head:
        return as_job_error(TimeLimitError("the guest overran its time limit and did not stop; its worker was killed"))
    return as_job_error(WorkerError(f"the worker {worker.reason}; the job may be sent again"))


def never_ran() -> JobError:
    """Why a task ends that was canceled in time."""
    return as_job_error(CanceledError("the job was canceled before it ran"))


def final_state(error: JobError) -> JobState:
    """The state of a task that ends with this error."""
    if error.kind == CanceledError.kind:
        return JobState.CANCELED
    return JobState.TIMED_OUT if error.kind == TimeLimitError.kind else JobState.FAILED
