"""The parent's hold on one worker: which modules it has loaded, and which task it runs."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

from waspi.errors import EnvelopeError, WorkerError
from waspi.model.result import ModuleOrigin
from waspi.sandbox import frame
from waspi.sandbox.answer import Answer, Failure, parse_answer, parse_failure
from waspi.sandbox.handle import ChildHandle, ChildState
from waspi.sandbox.request import pack_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from waspi.sandbox.assignment import Assignment
    from waspi.sandbox.handle import Owner
    from waspi.sandbox.settings import PoolSettings

_REST: Final = 16 * 1024
"""Bytes of an answer that are neither output, nor length of an output, nor log."""


class WorkerHandle(ChildHandle):
    """A worker, its warm modules (the least recently used goes when a further one comes) and its tasks."""

    def __init__(
        self, selector: BaseSelector, settings: PoolSettings, owner: Owner, clock: Callable[[], float]
    ) -> None:
        """Start a worker. Raises ``WorkerError``."""
        command = (*settings.worker_command, str(settings.worker_address_space_bytes))
        super().__init__(selector, command, owner, clock, start_s=settings.start_ms / 1000)
        self._settings = settings
        self._warm: dict[str, bool] = {}
        self.assignments: deque[Assignment] = deque()
        """Its tasks in the order in which it runs them; the first one may be running."""
        self.idle_since = 0.0
        self.head_since = 0.0
        """When the first of them could begin."""

    @property
    def assignment(self) -> Assignment | None:
        """The task that it runs."""
        return self.assignments[0] if self.assignments else None

    def has_warm(self, digest: str) -> bool:
        """Whether the module is loaded there (``bool``)."""
        return digest in self._warm

    def takes_behind(self, digest: str) -> bool:
        """Whether a task of this module may wait behind others there: it has run one before."""
        return self._warm.get(digest, False) and self.takes_more

    def run(self, assignment: Assignment, artifact: int | None) -> None:
        """Hand over a task. ``artifact``: descriptor of its compiled module, ``None`` when it is warm; closed here.

        Raises ``EnvelopeError``: the task cannot be put to a worker; the worker stays idle.
        """
        task, settings = assignment.task, self._settings
        digest, unload = task.digest, None
        if artifact is not None and len(self._warm) >= settings.warm_modules:
            unload = next(iter(self._warm))
        time_ms = settings.time_ms if task.limits.time_ms is None else task.limits.time_ms
        try:
            body = pack_run(
                task,
                load=artifact is not None,
                unload=unload,
                time_ms=time_ms,
                answer_bytes=settings.answer_bytes,
                log_bytes=assignment.log_bytes,
            )
        except EnvelopeError:
            if artifact is not None:
                os.close(artifact)
            raise
        if unload is not None:
            del self._warm[unload]
        proven = self._warm.pop(digest, False)
        self._warm[digest] = proven and artifact is None
        if artifact is None:
            assignment.origin = ModuleOrigin.WARM
        elif assignment.origin is ModuleOrigin.WARM:
            assignment.origin = ModuleOrigin.AOT
        if not self.assignments:
            self.head_since = self._clock()
        self.assignments.append(assignment)
        self.ask(
            frame.RUN,
            body,
            max_answer=settings.answer_bytes + 4 * len(task.inputs) + assignment.log_bytes + frame.TRACE_BYTES + _REST,
            fd=artifact,
            within_s=(time_ms + settings.grace_ms) / 1000,
        )

    @property
    def busy(self) -> bool:
        """Whether it cannot take a task now (``bool``)."""
        return self.state is not ChildState.IDLE

    def read_answer(self, kind: int, body: memoryview) -> tuple[Assignment, Answer | Failure]:
        """Its task and what it made of it. Raises ``WorkerError`` when this is no answer to it."""
        assignment = self.assignment
        if assignment is None or kind not in {frame.ANSWER, frame.FAILURE}:
            raise WorkerError("it answered what it was not asked")
        if kind == frame.ANSWER:
            answer = parse_answer(
                body,
                inputs=len(assignment.task.inputs),
                answer_bytes=self._settings.answer_bytes,
                log_bytes=assignment.log_bytes,
            )
            self._warm[assignment.task.digest] = True
            return assignment, answer
        failure = parse_failure(body, log_bytes=assignment.log_bytes)
        if failure.error.kind == "canceled" and not assignment.stopping:
            raise WorkerError("it says that it was canceled, but nobody asked for that")
        if failure.error.kind == "artifact":
            self._warm.pop(assignment.task.digest, None)
        return assignment, failure

    def answered(self) -> None:
        """The answer at the head was taken."""
        self.assignments.popleft()
        self.head_since = self._clock()
