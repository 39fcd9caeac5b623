"""A task inside the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from waspi.model.result import ModuleOrigin

if TYPE_CHECKING:
    from waspi.sandbox.task import Task

_LOG_BYTES: Final = 64 * 1024
"""What is kept of a log when the limits name no bound."""


class Assignment:
    """A task inside the pool and what has happened to it so far."""

    __slots__ = ("origin", "rebuilt", "starts", "stopping", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.origin = ModuleOrigin.WARM
        self.rebuilt = False
        """Whether its module's artifact was refused and rebuilt once."""
        self.starts = 0
        """Workers that did not come up while it was the next in line."""
        self.stopping = False
        """Whether somebody asked for it to be canceled."""

    @property
    def log_bytes(self) -> int:
        """Bytes of log that its answer may bring."""
        limit = self.task.limits.log_bytes
        return _LOG_BYTES if limit is None else limit
