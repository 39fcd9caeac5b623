"""A job on its way to a worker, or with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from waspi.journal.rows import JobRow
from waspi.sandbox.task import Task


@dataclass(slots=True)
class ActiveJob:
    """A job that has a worker, or will have one when its start is committed."""

    row: JobRow
    task: Task | None
    """Until a worker has it."""
    batch: bool
    memory_bytes: int = 0
    """The run's memory limit."""
    queue_us: int = 0
    canceled: list[Callable[[], object]] | None = None
    """What to call when it has ended because somebody wanted that; ``None``: nobody did."""
    reason: str = ""
    """Why somebody wanted that."""
