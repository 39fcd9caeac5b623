"""The pool of workers: tasks in, :class:`Done` out, whatever the guests do.

It lives in the agent's one thread. Everything happens in callbacks of the selector and in :meth:`Pool.tick`; nothing
here blocks, except :meth:`Pool.probe` and :meth:`Pool.close`, which say so.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from waspi.errors import (
    ArtifactError,
    DuplicateJobError,
    LockdownError,
    QueueFullError,
    UnknownModuleError,
    WaspiError,
    WorkerError,
)
from waspi.model.result import JobError, ModuleOrigin, Usage
from waspi.model.state import JobState
from waspi.sandbox.answer import Failure
from waspi.sandbox.assignment import Assignment
from waspi.sandbox.compile_queue import CompileQueue, as_job_error
from waspi.sandbox.crew import Crew
from waspi.sandbox.pace import Pace
from waspi.sandbox.posture import missing_parts
from waspi.sandbox.task import Done
from waspi.sandbox.verdict import cause_of, final_state, never_ran

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from selectors import BaseSelector

    from waspi.sandbox.answer import Answer
    from waspi.sandbox.cache import ModuleCache
    from waspi.sandbox.handle import ChildHandle
    from waspi.sandbox.settings import PoolSettings
    from waspi.sandbox.task import Task
    from waspi.sandbox.worker_handle import WorkerHandle

log = logging.getLogger(__name__)

_STARTS: Final = 3
"""Workers that may fail to come up before the job that waits for one is given up."""
_NO_RUN: Final = Usage()


class Pool:
    """Workers that start on demand, stay warm and leave when idle; a guest can end its own job and nothing else."""

    def __init__(
        self,
        selector: BaseSelector,
        cache: ModuleCache,
        settings: PoolSettings,
        on_done: Callable[[Done], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing yet.

        Descriptors are registered at ``selector`` with a callable of no arguments as ``data``, to be called when one is
        ready. ``on_done`` is called once for each submitted task, from such a callable or from :meth:`tick`, never from
        within :meth:`submit` or :meth:`cancel`. ``clock`` gives monotonic seconds.
        """
        self._selector = selector
        self._cache = cache
        self._settings = settings
        self._on_done = on_done
        self._clock = clock
        self._size = settings.workers
        self._crew = Crew(selector, settings, clock, self)
        self._inside: dict[str, Assignment] = {}
        self._for_worker: deque[Assignment] = deque()
        self._for_module: dict[str, list[Assignment]] = {}
        self._prepared: dict[str, list[Callable[[JobError | None], None]]] = {}
        self._ended: deque[Callable[[], None]] = deque()
        self._compiles = CompileQueue(selector, cache, settings, clock, self._compiled)
        self._posture: dict[str, str] = {}
        self._engine = ""
        self._spare = 0
        self._pace = Pace()

    @property
    def free(self) -> int:
        """How many tasks of any module :meth:`submit` takes now (``int``)."""
        return self._size - len(self._inside) + self._crew.behind

    def takes(self, digest: str) -> bool:
        """Whether :meth:`submit` takes a task of this module now.

        Beyond one for each worker it takes some of modules that run for a short time: they wait in their worker, which
        then never waits for us.
        """
        if len(self._inside) < self._size or self.free > 0:
            return True
        return not self._for_worker and self._crew.shortest_line(digest, self._pace.line(digest)) is not None

    @property
    def alive(self) -> int:
        """Worker processes that are there, the dying ones too (``int``)."""
        return len(self._crew.workers)

    @property
    def posture(self) -> Mapping[str, str]:
        """What of the lock-down is on (``{"seccomp": "on", ...}``), as the latest worker said; empty before one did."""
        return self._posture

    @property
    def engine(self) -> str:
        """Name and version of the engine, as the latest worker said; empty before one did."""
        return self._engine

    def start_one(self) -> None:
        """Start a worker ahead of the first job, so that the posture gets known; it leaves when idle."""
        if not self._crew.workers:
            self._spare = 1
            self._start_workers()

    def submit(self, task: Task) -> None:
        """Take a task; its :class:`Done` follows. What waits in workers goes out with the next :meth:`flush`.

        Raises ``QueueFullError`` unless it :meth:`takes` the module, ``DuplicateJobError`` for an id that is inside.
        """
        if not self.takes(task.digest):
            raise QueueFullError("every worker is busy; submit when the pool is free")
        if task.job_id in self._inside:
            raise DuplicateJobError(f"job {task.job_id} is running already")
        assignment = self._inside[task.job_id] = Assignment(task)
        self._cache.pin(task.digest)
        self._place(assignment)

    def cancel(self, job_id: str) -> bool:
        """Stop a task; ``False`` when there is none of that id.

        It ends ``CANCELED``, unless its answer was already under way. A worker that does not stop is killed.
        """
        assignment = self._inside.get(job_id)
        if assignment is None:
            return False
        if assignment.stopping:
            return True
        assignment.stopping = True
        for worker in self._crew.workers:
            if assignment in worker.assignments:
                place = worker.assignments.index(assignment)
                worker.cancel(place, within_s=self._settings.grace_ms / 1000)
                return True
        self._withdraw(assignment)
        self._end_later(assignment, never_ran())
        return True

    def flush(self) -> None:
        """Send what waits for it; to be called once at the end of each round of the owner's loop."""
        self._crew.flush()

    def prepare(self, digest: str, on_ready: Callable[[JobError | None], None]) -> None:
        """Have a module of the cache compiled ahead of its first job.

        ``on_ready`` is called once, as ``on_done`` is: with ``None`` when there is an artifact, else with the reason.
        """
        error = self._compiles.verdict(digest)
        if error is not None or self._cache.has_artifact(digest):
            self._ended.append(lambda: on_ready(error))
            return
        self._prepared.setdefault(digest, []).append(on_ready)
        self._compiles.request(digest)

    def next_deadline(self, now: float) -> float | None:
        """When :meth:`tick` has to be called at the latest (monotonic seconds); ``None``: events will tell."""
        if self._ended:
            return now
        times = (self._crew.next_deadline(len(self._for_worker)), self._compiles.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what time asks for: kill what is overdue, let idle workers go, start again after a pause."""
        for _ in range(len(self._ended)):  # those that are added meanwhile wait for the next turn
            self._ended.popleft()()
        self._crew.tick(now)
        self._compiles.tick(now)
        self._start_workers()

    def probe(self) -> Mapping[str, str]:
        """Start a worker, wait for its greeting, let it go; returns its posture. Blocks for about a worker's start.

        Raises ``LockdownError`` when a part that the settings require is not on, ``WorkerError`` when none comes up.
        """
        from waspi.sandbox.probe import probe  # noqa: PLC0415 - most agents never ask

        greeting = probe(self._settings)
        self._greeted(greeting.posture, greeting.engine)
        return self._posture

    def close(self) -> None:
        """Kill every child and wait until it is gone. Tasks that are inside get no :class:`Done`."""
        self._compiles.close()
        self._crew.close()
        for assignment in self._inside.values():
            self._cache.unpin(assignment.task.digest)
        self._inside.clear()
        self._for_worker.clear()
        self._for_module.clear()
        self._prepared.clear()
        self._ended.clear()

    # Owner of the workers

    def came_up(self, handle: ChildHandle) -> None:
        """A worker said HELLO: check its lock-down, then give it work."""
        worker = self._crew.find(handle)
        self._greeted(handle.posture, handle.greeting.get("engine", ""))
        lacking = missing_parts(handle.posture, self._settings.require)
        if lacking is not None:
            self._not_started(lacking)
            worker.kill("is not locked down")
            return
        self._crew.came_up()
        self._rest(worker)

    def answered(self, handle: ChildHandle, kind: int, body: memoryview) -> Callable[[], None]:
        """A worker's answer; ``WorkerError`` when it is none."""
        worker = self._crew.find(handle)
        assignment, answer = worker.read_answer(kind, body)
        return lambda: self._take_answer(worker, assignment, answer)

    def _take_answer(self, worker: WorkerHandle, assignment: Assignment, answer: Answer | Failure) -> None:
        worker.answered()
        spent = answer.spent
        usage = Usage(spent.fuel, spent.memory_bytes, spent.run_us, 0, assignment.origin)
        if not isinstance(answer, Failure):
            self._pace.note(assignment.task.digest, spent.run_us)
            self._leave(assignment)
            self._rest(worker)
            self._on_done(Done(assignment.task.job_id, answer.outputs, None, JobState.SUCCEEDED, answer.log, usage))
            return
        if answer.error.kind == ArtifactError.kind and not assignment.rebuilt and not assignment.stopping:
            log.warning("artifact of module %s is rebuilt: %s", assignment.task.digest, answer.error.message)
            assignment.rebuilt = True
            self._cache.drop_artifact(assignment.task.digest)
            self._rest(worker)
            self._place(assignment)
            return
        self._pace.note(assignment.task.digest, spent.run_us)
        self._rest(worker)
        error = answer.error
        if error.kind == ArtifactError.kind and assignment.stopping:
            error = never_ran()
        self._end(assignment, error, answer.log, usage)

    def gone(self, handle: ChildHandle) -> None:
        """A worker has ended: its job, if it had one, fails; the others go on."""
        worker = self._crew.find(handle)
        self._crew.workers.remove(worker)
        assignments = tuple(worker.assignments)
        worker.assignments.clear()
        begun = 0 if worker.undelivered else worker.begun
        for place, assignment in enumerate(assignments[:begun]):
            log.warning("worker %d %s; job %s ends with it", worker.pid, worker.reason, assignment.task.job_id)
            error = cause_of(worker, assignment, head=place == 0)
            self._end(assignment, error, b"", Usage(module=assignment.origin))
        self._place_again(assignments[begun:])
        if not worker.started:
            self._not_started(WorkerError(f"a worker {worker.reason} before it came up"))
        elif not assignments and (worker.was_busy or worker.timed_out):
            log.warning("worker %d %s", worker.pid, worker.reason)
        self._start_workers()

    def recalled(self, handle: ChildHandle, count: int) -> None:
        """The last ``count`` tasks of a worker wait behind one that takes long: others may have time for them."""
        worker = self._crew.find(handle)
        back = [worker.assignments.pop() for _ in range(count)]
        for assignment in worker.assignments:
            self._pace.forget(assignment.task.digest)
        self._rest(worker)  # unless it runs one
        self._place_again(reversed(back))

    def _place_again(self, assignments: Iterable[Assignment]) -> None:
        """Tasks that were certainly not begun."""
        for assignment in assignments:
            if assignment.stopping:
                self._end_later(assignment, never_ran())
            else:
                self._place(assignment)

    # Inside

    def _greeted(self, posture: Mapping[str, str], engine: str) -> None:
        self._posture = dict(posture)
        self._engine = engine

    def _place(self, assignment: Assignment) -> None:
        """Give the task to a warm worker, else to any idle one, else wait: in a line, for its module, for a worker."""
        digest = assignment.task.digest
        worker = self._crew.idle(digest)
        if worker is None and self.free < 0:
            worker = self._crew.shortest_line(digest, self._pace.line(digest))
        if worker is not None and worker.has_warm(digest):
            self._run(worker, assignment, None)
        elif not self._cache.has_artifact(digest):
            self._await_module(assignment)
        elif worker is not None:
            self._load(worker, assignment)
        else:
            self._for_worker.append(assignment)
            self._start_workers()

    def _await_module(self, assignment: Assignment) -> None:
        digest = assignment.task.digest
        error = self._compiles.verdict(digest)
        if error is None and not self._cache.has(digest):
            error = as_job_error(UnknownModuleError(f"module {digest} is not on this device; push it with its bytes"))
        if error is not None:
            self._end_later(assignment, error)
            return
        assignment.origin = ModuleOrigin.AOT if digest in self._for_module else ModuleOrigin.COMPILED
        self._for_module.setdefault(digest, []).append(assignment)
        self._compiles.request(digest)

    def _load(self, worker: WorkerHandle, assignment: Assignment) -> None:
        artifact = self._cache.open_artifact(assignment.task.digest)
        if artifact is None:
            self._await_module(assignment)
            return
        self._run(worker, assignment, artifact)

    def _run(self, worker: WorkerHandle, assignment: Assignment, artifact: int | None) -> None:
        self._cache.touch(assignment.task.digest)
        try:
            worker.run(assignment, artifact)
        except WaspiError as error:
            self._end_later(assignment, as_job_error(error))

    def _rest(self, worker: WorkerHandle) -> None:
        """An idle worker: the next task that waits for one, else nothing to do for now."""
        worker.idle_since = self._clock()
        while self._for_worker and not worker.busy:
            assignment = self._for_worker.popleft()
            if worker.has_warm(assignment.task.digest):
                self._run(worker, assignment, None)
            else:
                self._load(worker, assignment)

    def _start_workers(self) -> None:
        """As many as tasks wait for."""
        error = self._crew.start(max(len(self._for_worker), self._spare))
        self._spare = 0
        if error is not None:
            self._not_started(error)

    def _not_started(self, error: WaspiError) -> None:
        """Pause before the next start; the task at the head of the line is given up after a few."""
        self._crew.not_started()
        log.error("%s", error.message)
        if self._for_worker:
            assignment = self._for_worker[0]
            assignment.starts += 1
            if assignment.starts >= _STARTS or isinstance(error, LockdownError):
                self._for_worker.popleft()
                self._end_later(assignment, as_job_error(error))

    def _compiled(self, digest: str, error: JobError | None) -> None:
        for on_ready in self._prepared.pop(digest, ()):
            self._ended.append(lambda on_ready=on_ready: on_ready(error))  # type: ignore[misc]
        for assignment in self._for_module.pop(digest, ()):
            if error is not None:
                self._end_later(assignment, error)
            else:
                self._place(assignment)

    def _withdraw(self, assignment: Assignment) -> None:
        """Take a task out of the line that it stands in."""
        if assignment in self._for_worker:
            self._for_worker.remove(assignment)
        digest = assignment.task.digest
        waiting = self._for_module.get(digest, [])
        if assignment in waiting:
            waiting.remove(assignment)
            if not waiting:
                del self._for_module[digest]
                if digest not in self._prepared:
                    self._compiles.withdraw(digest)

    def _end_later(self, assignment: Assignment, error: JobError) -> None:
        """Report from the next tick: the caller of ``submit`` and ``cancel`` must not be called back within."""
        self._ended.append(lambda: self._end(assignment, error, b"", _NO_RUN))

    def _end(self, assignment: Assignment, error: JobError, guest_log: bytes, usage: Usage) -> None:
        self._leave(assignment)
        self._on_done(Done(assignment.task.job_id, (), error, final_state(error), guest_log, usage))

    def _leave(self, assignment: Assignment) -> None:
        if self._inside.pop(assignment.task.job_id, None) is not None:
            self._cache.unpin(assignment.task.digest)
