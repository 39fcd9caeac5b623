"""The real agent, with a note of every job that a worker gets.

``python -m tests.simulators.tapped_agent --config FILE`` runs ``waspi agent``; each hand-over to a worker appends a
line ``<job id>`` to the file that ``WASPI_TAP`` names, by one ``write(2)`` right before the request leaves: what a
SIGKILL cannot take back. A line ``-<job id>`` follows when another worker gets it, and nothing of this one is heard.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from waspi.device.__main__ import main
from waspi.sandbox.pool import Pool
from waspi.sandbox.workers import Assignment, Worker


def tap(path: str) -> None:
    """Note every job that reaches a worker in the file at ``path``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    run = Worker.run

    def noted(self: Worker, assignment: Assignment, *files: int | None) -> None:
        os.write(descriptor, f"{assignment.task.job_id}\n".encode())
        run(self, assignment, *files)  # type: ignore[arg-type]  # whatever it is given

    place_again = Pool._place_again

    def watched(self: Pool, assignments: Iterable[Assignment]) -> None:
        returned = tuple(assignments)
        for assignment in returned:
            os.write(descriptor, f"-{assignment.task.job_id}\n".encode())
        place_again(self, returned)

    Worker.run = noted  # type: ignore[method-assign, assignment]
    Pool._place_again = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    tap(os.environ["WASPI_TAP"])
    sys.exit(main())
