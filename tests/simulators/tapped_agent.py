"""The real agent, with a note of every job that a worker gets.

``python -m tests.simulators.tapped_agent --config FILE`` runs ``waspi agent``; each hand-over to a worker appends a
line ``<job id>`` to the file that ``WASPI_TAP`` names, by one ``write(2)`` right before the request leaves: what a
SIGKILL cannot take back. A line ``-<job id>`` follows when the worker was dead before the first byte reached it.
"""

from __future__ import annotations

import os
import sys

from waspi.device.__main__ import main
from waspi.sandbox.assignment import Assignment
from waspi.sandbox.handle import ChildHandle
from waspi.sandbox.pool import Pool
from waspi.sandbox.worker_handle import WorkerHandle


def tap(path: str) -> None:
    """Note every job that reaches a worker in the file at ``path``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    run = WorkerHandle.run

    def noted(self: WorkerHandle, assignment: Assignment, artifact: int | None, *, now: float) -> None:
        os.write(descriptor, f"{assignment.task.job_id}\n".encode())
        run(self, assignment, artifact, now=now)

    gone = Pool.gone

    def watched(self: Pool, handle: ChildHandle) -> None:
        if isinstance(handle, WorkerHandle) and handle.assignment is not None and handle.undelivered:
            os.write(descriptor, f"-{handle.assignment.task.job_id}\n".encode())
        gone(self, handle)

    WorkerHandle.run = noted  # type: ignore[method-assign]
    Pool.gone = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    tap(os.environ["WASPI_TAP"])
    sys.exit(main())
