"""Why a task ended that did not succeed: the words, the party at fault and the state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from waspi.errors import (
    CanceledError,
    DeviceError,
    FuelLimitError,
    MemoryLimitError,
    OutputLimitError,
    TimeLimitError,
    WorkerError,
)
from waspi.model.state import JobState
from waspi.sandbox.messages import as_job_error

if TYPE_CHECKING:
    from waspi.model.result import JobError
    from waspi.sandbox.task import Task
    from waspi.sandbox.workers import Assignment, Worker


def cause_of(worker: Worker, assignment: Assignment) -> tuple[JobError, bool]:
    """Why the task fails that a worker ran when it ended, and whether that was its guest's doing as far as is known."""
    if assignment.stopping:
        return as_job_error(CanceledError("the job was canceled; its worker did not stop and was killed")), False
    if worker.timed_out:
        error = TimeLimitError("the guest overran its time limit and did not stop; its worker was killed")
        return with_cut_limit(as_job_error(error), assignment.task), True
    if worker.was_starved:
        told = f"the worker ran out of memory, or the board did: it {worker.reason}; the job may be sent again"
        return as_job_error(DeviceError(told)), False
    return as_job_error(WorkerError(f"the worker {worker.reason}; the job may be sent again")), True


def never_ran() -> JobError:
    """Why a task ends that was canceled in time."""
    return as_job_error(CanceledError("the job was canceled before it ran"))


def final_state(error: JobError) -> JobState:
    """The state of a task that ends with this error."""
    if error.kind == CanceledError.kind:
        return JobState.CANCELED
    return JobState.TIMED_OUT if error.kind == TimeLimitError.kind else JobState.FAILED


_LIMITS: Final = {
    FuelLimitError.kind: ("fuel", "operators"),
    MemoryLimitError.kind: ("memory_bytes", "bytes of memory"),
    TimeLimitError.kind: ("time_ms", "ms"),
    OutputLimitError.kind: ("output_bytes", "bytes of output"),
}
"""Kinds of errors, the limits behind them and their units."""


def with_cut_limit(error: JobError, task: Task) -> JobError:
    """The error, with a word on the limit if it was the device that set it lower than the publisher asked."""
    if error.kind not in _LIMITS or task.asked is None:
        return error
    name, unit = _LIMITS[error.kind]
    asked, granted = getattr(task.asked, name), getattr(task.limits, name)
    if asked is None or granted is None or asked <= granted:
        return error
    return replace(error, message=f"{error.message} (the job asked for {asked} {unit}, this device grants {granted})")
