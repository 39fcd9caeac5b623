"""The worker processes of a pool: started on demand, paused when they do not come up, let go when idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from waspi.errors import WorkerError
from waspi.sandbox.handle import ChildState
from waspi.sandbox.worker_handle import WorkerHandle

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from waspi.sandbox.handle import ChildHandle, Owner
    from waspi.sandbox.settings import PoolSettings

log = logging.getLogger(__name__)

_BACK_OFF_S: Final = (0.1, 10.0)
"""First and longest pause after a worker that did not come up."""
_LEAVE_S: Final = 2.0
"""Seconds that a worker has to leave once it is let go."""
_RECALL_S: Final = 0.02
"""Seconds that a task may keep others waiting behind it in its worker, where none was thought to take long."""


class Crew:
    """At most ``settings.workers`` processes, those that are being killed included."""

    def __init__(
        self, selector: BaseSelector, settings: PoolSettings, clock: Callable[[], float], owner: Owner
    ) -> None:
        self._selector = selector
        self._settings = settings
        self._clock = clock
        self._owner = owner
        self._failures = 0
        self._start_after = 0.0
        self.workers: list[WorkerHandle] = []

    def idle(self, digest: str) -> WorkerHandle | None:
        """An idle worker, best one that has the module warm; ``None`` when there is none."""
        any_idle = None
        for worker in self.workers:
            if worker.state is ChildState.IDLE:
                if worker.has_warm(digest):
                    return worker
                any_idle = worker
        return any_idle

    @property
    def behind(self) -> int:
        """Tasks that wait behind others in their workers (``int``)."""
        count = 0
        for worker in self.workers:
            line = len(worker.assignments)
            if line > 1:
                count += line - 1
        return count

    def shortest_line(self, digest: str, depth: int) -> WorkerHandle | None:
        """The worker with the fewest of those tasks that a further one may wait behind."""
        best = None
        for worker in self.workers:
            if len(worker.assignments) < depth and worker.takes_behind(digest):
                best = worker
                depth = len(worker.assignments)
        return best

    def flush(self) -> None:
        """Send the tasks that wait behind others."""
        for worker in self.workers:
            worker.flush()

    def start(self, wanted: int) -> WorkerError | None:
        """See to it that as many workers are coming up as there is need, room and leave for; a failure is returned."""
        coming = self._coming()
        while coming < wanted and len(self.workers) < self._settings.workers and self._clock() >= self._start_after:
            try:
                self.workers.append(WorkerHandle(self._selector, self._settings, self._owner, self._clock))
            except WorkerError as error:
                return error
            coming += 1
        return None

    def came_up(self) -> None:
        """A worker is up and locked down: starts are fine again."""
        self._failures = 0

    def not_started(self) -> None:
        """A worker did not come up: pause before the next start, longer each time."""
        first, longest = _BACK_OFF_S
        self._start_after = self._clock() + min(first * 2**self._failures, longest)
        self._failures = min(self._failures + 1, 16)

    def find(self, handle: ChildHandle) -> WorkerHandle:
        """The worker behind a callback."""
        if not isinstance(handle, WorkerHandle):
            raise WorkerError("not a worker of this pool; this is a fault in waspi, report it")
        return handle

    def next_deadline(self, wanted: int) -> float | None:
        """When :meth:`tick`, or :meth:`start` of as many workers, is due (seconds on the clock)."""
        times = []
        for worker in self.workers:
            if worker.deadline is not None:
                times.append(worker.deadline)
                if len(worker.assignments) > 1 and worker.takes_more:
                    times.append(worker.head_since + _RECALL_S)
            elif worker.state is ChildState.IDLE:
                times.append(worker.idle_since + self._settings.idle_s)
        if self._coming() < wanted and len(self.workers) < self._settings.workers:
            times.append(self._start_after)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Kill what is overdue, let idle workers go."""
        for worker in tuple(self.workers):
            worker.tick(now)
            if len(worker.assignments) > 1 and now >= worker.head_since + _RECALL_S:
                worker.recall()
            if worker.state is ChildState.IDLE and now >= worker.idle_since + self._settings.idle_s:
                worker.leave(deadline=now + _LEAVE_S)

    def _coming(self) -> int:
        return sum(1 for worker in self.workers if worker.state is ChildState.STARTING)

    def close(self) -> None:
        """Kill all and wait until they are gone."""
        for worker in self.workers:
            worker.close()
        self.workers.clear()
