"""The pool of workers: tasks in, :class:`Done` out, whatever the guests do.

It lives in the agent's one thread. Everything happens in callbacks of the selector and in :meth:`Pool.tick`; nothing
here blocks, except :meth:`Pool.probe` and :meth:`Pool.close`, which say so.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from waspi import javascript
from waspi.errors import (
    ArtifactError,
    DuplicateJobError,
    Fault,
    LockdownError,
    QueueFullError,
    UnknownModuleError,
    WaspiError,
    WorkerError,
)
from waspi.model.result import JobError, ModuleOrigin, Usage
from waspi.model.state import JobState
from waspi.sandbox.compile_queue import CompileQueue
from waspi.sandbox.endings import cause_of, final_state, never_ran, with_cut_limit
from waspi.sandbox.messages import Failure, as_job_error
from waspi.sandbox.posture import missing_parts
from waspi.sandbox.settings import Isolation
from waspi.sandbox.supervisor import ChildState
from waspi.sandbox.task import Done, code_of
from waspi.sandbox.workers import Assignment, Worker, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from selectors import BaseSelector

    from waspi.model.abi import Abi
    from waspi.sandbox.cache import ModuleCache
    from waspi.sandbox.messages import Answer
    from waspi.sandbox.settings import PoolSettings
    from waspi.sandbox.supervisor import Supervisor
    from waspi.sandbox.task import Task

log = logging.getLogger(__name__)

_STARTS: Final = 3
"""Workers that may fail to come up before the job that waits for one is given up."""
_COMPILING: Final = 256
"""Tasks that may wait for their modules to be compiled."""
_COMPILING_BYTES: Final = 16 * 1024 * 1024
"""Bytes of input that those may bring; a single one may bring more."""
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
        self._cache = cache
        self._settings = settings
        self._on_done = on_done
        self._clock = clock
        self._workers = Workers(selector, settings, clock, self)
        self._compiles = CompileQueue(selector, cache, settings, clock, self._compiled)
        self._inside: dict[str, Assignment] = {}
        self._for_worker: deque[Assignment] = deque()
        self._for_module: dict[str, list[Assignment]] = {}
        self._compiling = 0
        self._compiling_bytes = 0
        self._prepared: dict[str, list[Callable[[JobError | None], None]]] = {}
        self._ended: deque[Callable[[], None]] = deque()
        self._posture: dict[str, str] = {}
        self._engine = ""
        self._spare = 0

    @property
    def free(self) -> int:
        """How many tasks of compiled modules :meth:`submit` takes now, whichever they are (``int``)."""
        return max(0, self._settings.workers - self._workers.occupied - len(self._for_worker))

    def takes(self, task: Task) -> bool:
        """Whether :meth:`submit` takes this task now.

        Beyond one for each worker it takes some of modules that run for a short time: they wait in their worker, which
        then never waits for us. Tasks that wait for the compiler take no worker's place, but there is a bound on them;
        once they may run, only a task of higher priority goes before them.
        """
        assignment = self._assigned(task)
        if not self._runnable(assignment.code):
            return self._compiling < _COMPILING and self._compiling_bytes < _COMPILING_BYTES
        group = assignment.group
        if self.free > 0 and (self._for_worker or self._workers.have_place(task.digest, group)):
            return True
        if self._for_worker:
            return task.priority > self._for_worker[0].task.priority
        return self._workers.shortest_line(task.digest, assignment.code, group) is not None

    def _assigned(self, task: Task) -> Assignment:
        return Assignment(task, self._settings.isolation.group_of(task))

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
        if not self._workers.all:
            self._spare = 1
            self._start_workers()

    def submit(self, task: Task) -> None:
        """Take a task; its :class:`Done` follows. What waits in workers goes out with the next :meth:`flush`.

        Raises ``QueueFullError`` unless it :meth:`takes` the module, ``DuplicateJobError`` for an id that is inside.
        """
        if not self.takes(task):
            raise QueueFullError("every worker is busy; submit when the pool is free")
        if task.job_id in self._inside:
            raise DuplicateJobError(f"job {task.job_id} is running already")
        assignment = self._inside[task.job_id] = self._assigned(task)
        self._pin(assignment)
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
        for worker in self._workers.all:
            if assignment in worker.assignments:
                place = worker.assignments.index(assignment)
                worker.cancel(place, within_s=self._settings.grace_ms / 1000)
                return True
        self._withdraw(assignment)
        self._end_later(assignment, never_ran())
        return True

    def flush(self) -> None:
        """Send what waits for it; to be called once at the end of each round of the owner's loop."""
        self._workers.flush()

    def prepare(self, digest: str, abi: Abi, on_ready: Callable[[JobError | None], None]) -> None:
        """Have a module of the cache, or the engine for it, compiled ahead of its first job.

        ``on_ready`` is called once, as ``on_done`` is: with ``None`` when there is an artifact, else with the reason.
        """
        code = code_of(digest, abi)
        error = self._compiles.failure(code)
        if error is None and code != digest:
            error = self._provide_engine(code)
        if error is not None or self._cache.has_artifact(code):
            self._ended.append(lambda: on_ready(error))
            return
        self._prepared.setdefault(code, []).append(on_ready)
        self._compiles.request(code)

    def next_deadline(self, now: float) -> float | None:
        """When :meth:`tick` has to be called at the latest (monotonic seconds); ``None``: events will tell."""
        if self._ended:
            return now
        times = (self._workers.next_deadline(len(self._for_worker)), self._compiles.next_deadline())
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what time asks for: kill what is overdue, let idle workers go, start again after a pause."""
        for _ in range(len(self._ended)):  # those that are added meanwhile wait for the next turn
            self._ended.popleft()()
        self._workers.tick(now)
        self._place_again(self._workers.overdue(now))
        self._compiles.tick(now)
        self._start_workers()

    def probe(self) -> Mapping[str, str]:
        """Start a worker, wait for its greeting, let it go; returns its posture. Blocks for about a worker's start.

        Raises ``LockdownError`` when a part that the settings require is not on, ``WorkerError`` when none comes up.
        """
        from waspi.sandbox.posture import probe  # noqa: PLC0415 - most agents never ask

        greeting = probe(self._settings)
        self._greeted(greeting.posture, greeting.engine)
        return self._posture

    def close(self) -> None:
        """Kill every child and wait until it is gone. Tasks that are inside get no :class:`Done`."""
        self._compiles.close()
        self._workers.close()
        for assignment in self._inside.values():
            self._unpin(assignment)
        self._inside.clear()
        self._for_worker.clear()
        self._for_module.clear()
        self._prepared.clear()
        self._ended.clear()

    # Owner of the workers

    def came_up(self, child: Supervisor) -> None:
        """A worker said HELLO: check its lock-down, then give it work."""
        worker = _worker(child)
        self._greeted(worker.posture, worker.greeting.get("engine", ""))
        lacking = missing_parts(worker.posture, self._settings.require)
        if lacking is not None:
            self._not_started(lacking)
            worker.kill("is not locked down")
            return
        self._workers.came_up()
        self._rest(worker)

    def answered(self, child: Supervisor, kind: int, body: memoryview) -> Callable[[], None]:
        """A worker's answer; ``WorkerError`` when it is none."""
        worker = _worker(child)
        assignment, answer = worker.read_answer(kind, body)
        return lambda: self._take_answer(worker, assignment, answer)

    def _take_answer(self, worker: Worker, assignment: Assignment | None, answer: Answer | Failure | None) -> None:
        worker.answered()
        if assignment is None or answer is None:
            self._rest(worker)
            return
        task, spent = assignment.task, answer.spent
        usage = Usage(
            spent.fuel if task.limits.fuel is None else min(spent.fuel, task.limits.fuel),
            spent.memory_bytes,
            worker.credible_us(spent.run_us),
            0,
            assignment.origin,
        )
        if not isinstance(answer, Failure):
            self._workers.note(task.digest, usage.run_us)
            self._leave(assignment)
            self._rest(worker)
            self._on_done(Done(task.job_id, answer.outputs, None, JobState.SUCCEEDED, answer.log, usage))
            return
        error = answer.error
        if error.kind == ArtifactError.kind and not assignment.rebuilt and not assignment.stopping:
            log.warning("artifact of module %s is rebuilt: %s", assignment.code, error.message)
            assignment.rebuilt = True
            self._cache.drop_artifact(assignment.code)
            self._rest(worker)
            self._place(assignment)
            return
        self._workers.note(task.digest, usage.run_us)
        self._rest(worker)
        if error.kind == ArtifactError.kind and assignment.stopping:
            error = never_ran()
        blames = error.fault is Fault.GUEST and not task.own_terms
        self._end(assignment, with_cut_limit(error, task), answer.log, usage, blames_module=blames)

    def gone(self, child: Supervisor) -> None:
        """A worker has ended: the task that it ran, if it had one, fails; those behind it go to another worker."""
        worker = _worker(child)
        self._workers.all.remove(worker)
        assignments = deque(worker.assignments)
        worker.assignments.clear()
        if assignments and not worker.undelivered:
            head = assignments.popleft()
            if head is not None:
                log.warning("worker %d %s; job %s ends with it", worker.pid, worker.reason, head.task.job_id)
                error, crashed = cause_of(worker, head)
                blames = crashed and worker.ran == {head.task.digest} and not head.task.own_terms
                self._end(head, error, b"", Usage(module=head.origin), blames_module=blames)
        elif worker.started and (worker.was_busy or worker.timed_out):
            log.warning("worker %d %s", worker.pid, worker.reason)
        self._place_again(assignment for assignment in assignments if assignment is not None)
        if not worker.started:
            self._not_started(WorkerError(f"a worker {worker.reason} before it came up"))
        self._start_workers()

    def _place_again(self, assignments: Iterable[Assignment]) -> None:
        """Tasks that waited in a worker in vain."""
        for assignment in assignments:
            assignment.moved = True
            if assignment.stopping:
                self._end_later(assignment, never_ran())
            else:
                self._place(assignment)

    # Inside

    def _greeted(self, posture: Mapping[str, str], engine: str) -> None:
        self._posture = dict(posture)
        self._engine = engine

    def _runnable(self, digest: str) -> bool:
        """Whether the compiler is not needed for it."""
        return self._cache.has_artifact(digest) or any(worker.has_warm(digest) for worker in self._workers.all)

    def _place(self, assignment: Assignment) -> None:
        """Give the task to a warm worker, else to any idle one, else wait: in a line, for its module, for a worker."""
        digest, group = assignment.code, assignment.group
        worker = self._workers.idle(digest, group)
        if worker is None and not (
            self._for_worker or assignment.moved or self._workers.have_place(assignment.task.digest, group)
        ):
            worker = self._workers.shortest_line(assignment.task.digest, digest, group)
        if worker is not None and worker.has_warm(digest):
            self._run(worker, assignment, None)
        elif not self._cache.has_artifact(digest):
            self._await_module(assignment)
        elif worker is not None:
            self._load(worker, assignment)
        else:
            first = (
                place for place, each in enumerate(self._for_worker) if each.task.priority < assignment.task.priority
            )
            self._for_worker.insert(next(first, len(self._for_worker)), assignment)
            self._start_workers()

    def _provide_engine(self, code: str) -> JobError | None:
        """See to it that the engine for scripts is in the cache: once on a board, unless it was evicted."""
        if self._cache.has(code):
            return None
        log.info("the JavaScript engine is stored in the module cache, to be compiled once")
        try:
            self._cache.put(javascript.bytecode())
        except WaspiError as error:
            return as_job_error(error)
        return None

    def _await_module(self, assignment: Assignment) -> None:
        digest = assignment.code
        error = self._compiles.failure(digest)
        if error is None and assignment.task.is_script:
            error = self._provide_engine(digest)
        if error is None and not self._cache.has(digest):
            error = as_job_error(UnknownModuleError(f"module {digest} is not on this device; push it with its bytes"))
        if error is not None:
            self._end_later(assignment, error)
            return
        assignment.origin = ModuleOrigin.AOT if digest in self._for_module else ModuleOrigin.COMPILED
        self._for_module.setdefault(digest, []).append(assignment)
        self._count_compiling(assignment, 1)
        self._compiles.request(digest)

    def _count_compiling(self, assignment: Assignment, sign: int) -> None:
        self._compiling += sign
        self._compiling_bytes += sign * sum(map(len, assignment.task.inputs))

    def _load(self, worker: Worker, assignment: Assignment) -> None:
        artifact = self._cache.open_artifact(assignment.code)
        if artifact is None:
            self._await_module(assignment)
            return
        self._run(worker, assignment, artifact)

    def _run(self, worker: Worker, assignment: Assignment, artifact: int | None) -> None:
        self._cache.touch(assignment.code)
        script = None
        try:
            if not worker.has_script(assignment.task):
                script = self._read_script(assignment.task.digest)
        except WaspiError as error:
            if artifact is not None:
                os.close(artifact)
            self._end_later(assignment, as_job_error(error))
            return
        try:
            worker.run(assignment, artifact, script)
        except WaspiError as error:
            self._end_later(assignment, as_job_error(error))

    def _read_script(self, digest: str) -> bytes:
        """A script's source. Raises ``UnknownModuleError``, ``StorageError``."""
        with os.fdopen(self._cache.open_module(digest), "rb") as file:
            return file.read()

    def _rest(self, worker: Worker) -> None:
        """A worker that may be idle: the next task that waits for one, else nothing to do for now."""
        worker.idle_since = self._clock()
        if worker.state is ChildState.IDLE and self._settings.isolation is Isolation.JOB and worker.group is not None:
            self._workers.dismiss(worker)
        while worker.state is ChildState.IDLE and self._for_worker:
            assignment = self._next_for(worker)
            if assignment is None:
                return
            if worker.has_warm(assignment.code):
                self._run(worker, assignment, None)
            else:
                self._load(worker, assignment)

    def _next_for(self, worker: Worker) -> Assignment | None:
        """The first waiting task that this worker may have.

        One that comes before it and may not needs another worker: if none is on its way, this one makes room.
        """
        for place, assignment in enumerate(self._for_worker):
            if worker.group is None or worker.group == assignment.group:
                if place > self._workers.coming:
                    break
                del self._for_worker[place]
                return assignment
        self._workers.dismiss(worker)
        return None

    def _start_workers(self) -> None:
        """As many as tasks wait for."""
        error = self._workers.start(max(len(self._for_worker), self._spare))
        self._spare = 0
        if error is not None:
            self._not_started(error)

    def _not_started(self, error: WaspiError) -> None:
        """Pause before the next start; the task at the head of the line is given up after a few."""
        self._workers.not_started()
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
        for assignment in sorted(self._for_module.pop(digest, ()), key=lambda each: -each.task.priority):
            self._count_compiling(assignment, -1)
            if error is not None:
                task = assignment.task
                blames = error.fault is Fault.GUEST and not task.own_terms and not task.is_script
                self._end_later(assignment, error, blames_module=blames)
            else:
                self._place(assignment)

    def _withdraw(self, assignment: Assignment) -> None:
        """Take a task out of the line that it stands in."""
        if assignment in self._for_worker:
            self._for_worker.remove(assignment)
        digest = assignment.code
        waiting = self._for_module.get(digest, [])
        if assignment in waiting:
            waiting.remove(assignment)
            self._count_compiling(assignment, -1)
            if not waiting:
                del self._for_module[digest]
                if digest not in self._prepared:
                    self._compiles.withdraw(digest)

    def _end_later(self, assignment: Assignment, error: JobError, *, blames_module: bool = False) -> None:
        """Report from the next tick: the caller of ``submit`` and ``cancel`` must not be called back within."""
        self._ended.append(lambda: self._end(assignment, error, b"", _NO_RUN, blames_module=blames_module))

    def _end(
        self, assignment: Assignment, error: JobError, guest_log: bytes, usage: Usage, *, blames_module: bool = False
    ) -> None:
        self._leave(assignment)
        self._on_done(
            Done(assignment.task.job_id, (), error, final_state(error), guest_log, usage, blames_module=blames_module)
        )

    def _leave(self, assignment: Assignment) -> None:
        if self._inside.pop(assignment.task.job_id, None) is not None:
            self._unpin(assignment)

    def _pin(self, assignment: Assignment) -> None:
        for digest in {assignment.task.digest, assignment.code}:
            self._cache.pin(digest)

    def _unpin(self, assignment: Assignment) -> None:
        for digest in {assignment.task.digest, assignment.code}:
            self._cache.unpin(digest)


def _worker(child: Supervisor) -> Worker:
    """The worker behind a callback."""
    if not isinstance(child, Worker):
        raise WorkerError("not a worker of this pool; this is a fault in waspi, report it")
    return child
