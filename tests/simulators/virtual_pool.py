"""A pool of workers whose runs end when the test says so; each run brings bytes that no other run brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from selectors import BaseSelector

from waspi.errors import CanceledError, DuplicateJobError, Fault, QueueFullError
from waspi.model.result import JobError, Usage
from waspi.model.state import JobState
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.settings import PoolSettings
from waspi.sandbox.task import Done, Task


class VirtualPool:
    """Same calls as :class:`waspi.sandbox.pool.Pool`; ``starts`` gets every task that was submitted."""

    posture: Mapping[str, str] = {"no_new_privs": "on"}
    engine = "virtual 1"

    def __init__(
        self,
        selector: BaseSelector,  # noqa: ARG002 - the port has it
        cache: ModuleCache,
        settings: PoolSettings,
        on_done: Callable[[Done], None],
        *,
        clock: Callable[[], float],
        starts: list[Task],
    ) -> None:
        self._cache = cache
        self._size = settings.workers
        self._on_done = on_done
        self._clock = clock
        self._starts = starts
        self.inside: dict[str, Task] = {}
        self._ended: list[Done] = []

    @property
    def free(self) -> int:
        return self._size - len(self.inside)

    def takes(self, task: Task) -> bool:  # noqa: ARG002 - the port has it
        return self.free > 0

    def flush(self) -> None: ...

    def start_one(self) -> None: ...

    def probe(self) -> Mapping[str, str]:
        return self.posture

    def submit(self, task: Task) -> None:
        if len(self.inside) >= self._size:
            raise QueueFullError("every worker is busy; submit when the pool is free")
        if task.job_id in self.inside:
            raise DuplicateJobError(f"job {task.job_id} is running already")
        self.inside[task.job_id] = task
        self._cache.pin(task.digest)
        self._starts.append(task)

    def cancel(self, job_id: str) -> bool:
        task = self.inside.get(job_id)
        if task is None:
            return False
        if not any(done.job_id == job_id for done in self._ended):
            error = CanceledError("canceled while it ran")
            told = JobError(error.fault, error.kind, error.message)
            self._ended.append(Done(job_id, (), told, JobState.CANCELED))
        return True

    def finish(self, job_id: str, *, fail: bool = False) -> None:
        """The run ends; its result is handed over with the next tick."""
        if any(done.job_id == job_id for done in self._ended):
            return
        if fail:
            error = JobError(Fault.GUEST, "unreachable", f"run {len(self._starts)} trapped")
            self._ended.append(Done(job_id, (), error, JobState.FAILED, blames_module=True))
            return
        number = max(index for index, task in enumerate(self._starts) if task.job_id == job_id)
        outputs = tuple(b"run %d of " % number + data for data in self.inside[job_id].inputs)
        self._ended.append(Done(job_id, outputs, None, JobState.SUCCEEDED, usage=Usage(fuel=number)))

    def next_deadline(self, now: float) -> float | None:
        return now if self._ended else None

    def tick(self, now: float) -> None:  # noqa: ARG002 - the port has it
        ended, self._ended = self._ended, []
        for done in ended:
            task = self.inside.pop(done.job_id)
            self._cache.unpin(task.digest)
            self._on_done(done)

    def close(self) -> None:
        self.inside.clear()
