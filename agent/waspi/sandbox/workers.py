"""The workers of a pool: which modules each has loaded, which tasks it has, when it starts and leaves."""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from waspi.errors import EnvelopeError, WorkerError
from waspi.model.result import ModuleOrigin
from waspi.sandbox import frame
from waspi.sandbox.messages import Answer, Failure, pack_run, parse_answer, parse_failure, script_key
from waspi.sandbox.supervisor import ChildState, Supervisor
from waspi.sandbox.task import code_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from waspi.sandbox.settings import PoolSettings
    from waspi.sandbox.supervisor import Owner
    from waspi.sandbox.task import Task

log = logging.getLogger(__name__)

_BACK_OFF_S: Final = (0.1, 10.0)
"""First and longest pause after a worker that did not come up."""
_LEAVE_S: Final = 2.0
"""Seconds that a worker has to leave once it is let go."""
_WAIT_S: Final = 0.02
"""Seconds that a task waits behind another one in its worker before it is given to another worker."""
_KEEP_S: Final = 0.1
"""Seconds that a worker stays idle before it makes room for short tasks of another group: more than a start takes."""
_LINE: Final = 8
"""Tasks that a worker has at once, at most."""
_LINE_US: Final = 4000.0
"""Microseconds that they may take together."""
_REMEMBERED: Final = 64
"""Modules whose run time is known."""
_LOG_BYTES: Final = 64 * 1024
"""What is kept of a log when the limits name no bound."""
_REST: Final = 16 * 1024
"""Bytes of an answer that are neither output, nor length of an output, nor log."""


class Assignment:
    """A task inside the pool and what has happened to it so far."""

    __slots__ = ("code", "group", "moved", "origin", "rebuilt", "starts", "stopping", "task")

    def __init__(self, task: Task, group: str) -> None:
        self.task = task
        self.code = code_of(task.digest, task.abi)
        """Digest of what a worker has to have loaded."""
        self.group = group
        """Of :meth:`Isolation.group_of`."""
        self.origin = ModuleOrigin.WARM
        self.rebuilt = False
        """Whether its module's artifact was refused and rebuilt once."""
        self.starts = 0
        """Workers that did not come up while it was the next in line."""
        self.stopping = False
        """Whether somebody asked for it to be canceled."""
        self.moved = False
        """Whether it waited in a worker in vain: it waits in none again, so that no worker can pass it on for ever."""

    @property
    def log_bytes(self) -> int:
        """Bytes of log that its answer may bring."""
        limit = self.task.limits.log_bytes
        return _LOG_BYTES if limit is None else limit


class Worker(Supervisor):
    """A worker, its loaded modules (the least recently used goes when a further one comes) and its tasks."""

    def __init__(
        self, selector: BaseSelector, settings: PoolSettings, owner: Owner, clock: Callable[[], float]
    ) -> None:
        """Start a worker. Raises ``WorkerError``."""
        command = (*settings.worker_command, str(settings.worker_address_space_bytes))
        super().__init__(selector, command, owner, clock, start_s=settings.start_ms / 1000)
        self._settings = settings
        self._warm: dict[str, bool] = {}
        self._scripts: set[bytes] = set()
        """Keys of the scripts that it has."""
        self._began = 0.0
        self._claimed_us = 0
        self.ran: set[str] = set()
        """Modules that have run in it, at most the two first: whether more than one has is all that matters."""
        self.group: str | None = None
        """Whose tasks it may have; ``None``: it had none yet."""
        self.assignments: deque[Assignment | None] = deque()
        """Its tasks in the order in which it runs them; the first one may be running. ``None``: no longer wanted."""
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

    def takes_behind(self, digest: str, group: str) -> bool:
        """Whether a task may wait behind others there: its worker has run the module before."""
        return self.group == group and self._warm.get(digest, False) and self.state is ChildState.BUSY

    def has_script(self, task: Task) -> bool:
        """Whether it needs no more than the task's key to run its script (``bool``)."""
        return not task.is_script or script_key(task) in self._scripts

    def run(self, assignment: Assignment, artifact: int | None, script: bytes | None) -> None:
        """Hand over a task.

        ``artifact``: descriptor of its compiled code, ``None`` when that is warm; closed here. ``script``: its source,
        ``None`` when there is none or the worker :meth:`has_script`.

        Raises ``EnvelopeError``: the task cannot be put to a worker; the worker stays idle.
        """
        task, settings = assignment.task, self._settings
        digest, unload = assignment.code, None
        if artifact is not None and len(self._warm) >= settings.warm_modules:
            unload = next(iter(self._warm))
        # Scripts hold their engine, so they go with it; and there are not more of them than of modules.
        forget = artifact is not None or (script is not None and len(self._scripts) >= settings.warm_modules)
        time_ms = settings.time_ms if task.limits.time_ms is None else task.limits.time_ms
        try:
            body = pack_run(
                task,
                digest,
                load=artifact is not None,
                unload=unload,
                forget=forget,
                script=script,
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
        if forget:
            self._scripts.clear()
        if script is not None:
            self._scripts.add(script_key(task))
        proven = self._warm.pop(digest, False)
        self._warm[digest] = proven and artifact is None
        if artifact is None:
            assignment.origin = ModuleOrigin.WARM
        elif assignment.origin is ModuleOrigin.WARM:
            assignment.origin = ModuleOrigin.AOT
        self.group = assignment.group
        if len(self.ran) < 2:  # noqa: PLR2004 - more than one
            self.ran.add(task.digest)
        if not self.assignments:
            self.head_since = self._began = self._clock()
            self._claimed_us = 0
        self.assignments.append(assignment)
        self.ask(
            frame.RUN,
            body,
            max_answer=settings.answer_bytes + 4 * len(task.inputs) + assignment.log_bytes + frame.TRACE_BYTES + _REST,
            fd=artifact,
            within_s=(time_ms + settings.grace_ms) / 1000,
        )

    def read_answer(self, kind: int, body: memoryview) -> tuple[Assignment | None, Answer | Failure | None]:
        """Its task and what it made of it; ``None`` when that is no longer wanted.

        Raises ``WorkerError`` when this is no answer to it.
        """
        if kind not in {frame.ANSWER, frame.FAILURE} or not self.assignments:
            raise WorkerError("it answered what it was not asked")
        assignment = self.assignments[0]
        if assignment is None:
            return None, None
        if kind == frame.ANSWER:
            answer = parse_answer(
                body,
                inputs=len(assignment.task.inputs),
                answer_bytes=self._settings.answer_bytes,
                log_bytes=assignment.log_bytes,
            )
            self._warm[assignment.code] = True
            return assignment, answer
        failure = parse_failure(body, log_bytes=assignment.log_bytes)
        if failure.error.kind == "canceled" and not assignment.stopping:
            raise WorkerError("it says that it was canceled, but nobody asked for that")
        if failure.error.kind == "artifact":
            self._warm.pop(assignment.code, None)
            self._scripts.clear()
        return assignment, failure

    def credible_us(self, claimed_us: int) -> int:
        """The run time that a worker names, as far as so much time has passed since it became busy (``int``, us)."""
        passed_us = int((self._clock() - self._began) * 1_000_000)
        credible = max(0, min(claimed_us, passed_us - self._claimed_us))
        self._claimed_us += credible
        return credible

    def answered(self) -> None:
        """The answer at the head was taken."""
        self.assignments.popleft()
        self.head_since = self._clock()

    def take_back(self) -> list[Assignment]:
        """The tasks behind the one at the head, which it shall not begin any more.

        One that it has begun by then runs twice, and only the other run is seen.
        """
        back = []
        for place in range(1, len(self.assignments)):
            assignment = self.assignments[place]
            if assignment is not None:
                back.append(assignment)
                self.assignments[place] = None
        if back:
            self.flush()  # a cancel must not come before what it cancels
            for place in range(1, len(self.assignments)):
                self.cancel(place, within_s=self._settings.grace_ms / 1000)
        return back

    @property
    def waiting(self) -> int:
        """Wanted tasks behind the one at the head (``int``)."""
        return sum(1 for each in self.assignments if each is not None) - 1 if len(self.assignments) > 1 else 0


class Workers:
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
        self._run_us: dict[str, float] = {}
        self.all: list[Worker] = []

    # Which worker for which task

    def idle(self, digest: str, group: str) -> Worker | None:
        """An idle worker for that group, best one that has the module warm; ``None`` when there is none."""
        best = None
        for worker in self.all:
            if worker.state is ChildState.IDLE and (worker.group is None or worker.group == group):
                if worker.has_warm(digest):
                    return worker
                if best is None or best.group is None:
                    best = worker
        return best

    def shortest_line(self, digest: str, code: str, group: str) -> Worker | None:
        """The worker with the fewest of those tasks that a further one may wait behind; ``None``: it may in none.

        A worker that gets its next task only when it has answered waits for the agent after each: short ones are given
        to it ahead.
        """
        best = None
        depth = self._depth(digest)
        for worker in self.all:
            if len(worker.assignments) < depth and worker.takes_behind(code, group):
                best = worker
                depth = len(worker.assignments)
        return best

    def _depth(self, digest: str) -> int:
        """How many tasks a worker may have if the last of them is of that module: 1 as long as nothing is known."""
        run_us = self._run_us.get(digest)
        return 1 if run_us is None else max(1, min(_LINE, int(_LINE_US / max(run_us, 1.0))))

    def note(self, digest: str, run_us: int) -> None:
        """A run of that module took so long. Its longest run counts, and is forgotten slowly."""
        before = self._run_us.pop(digest, 0.0)
        while len(self._run_us) >= _REMEMBERED:
            del self._run_us[next(iter(self._run_us))]
        self._run_us[digest] = max(run_us, before + (run_us - before) / 8)

    def overdue(self, now: float) -> list[Assignment]:
        """Take back the tasks that wait behind one that takes longer than was thought."""
        back = []
        for worker in self.all:
            if worker.waiting and now >= worker.head_since + _WAIT_S:
                if worker.assignment is not None:
                    self._run_us.pop(worker.assignment.task.digest, None)
                back += worker.take_back()
        return back

    @property
    def occupied(self) -> int:
        """Workers that have a task (``int``)."""
        return sum(1 for worker in self.all if worker.assignments)

    # Their lives

    @property
    def coming(self) -> int:
        """Workers that have not said HELLO (``int``)."""
        return sum(1 for worker in self.all if worker.state is ChildState.STARTING)

    def have_place(self, digest: str, group: str) -> bool:
        """Whether a task need not wait behind another: there is an idle worker for it, or one comes.

        An idle worker of another group makes room for it, but not for tasks of short runs whose group has a worker:
        until they have worn out a start, the other group may want its own again.
        """
        if not self.full:
            return True
        served = False
        for worker in self.all:
            if worker.group is None or worker.group == group:
                if worker.state in {ChildState.IDLE, ChildState.STARTING}:
                    return True
                served = served or worker.state is ChildState.BUSY
        before = self._clock() - (_KEEP_S if served and self._depth(digest) > 1 else 0.0)
        return any(worker.state is ChildState.IDLE and worker.idle_since <= before for worker in self.all)

    @property
    def full(self) -> bool:
        """Whether there are as many workers as there may be (``bool``)."""
        return len(self.all) >= self._settings.workers

    def start(self, wanted: int) -> WorkerError | None:
        """See to it that as many workers are coming up as there is need, room and leave for; a failure is returned.

        Where there is no room because idle workers are of another group, the one that was idle longest leaves.
        """
        coming = self.coming
        while coming < wanted and self._clock() >= self._start_after:
            if self.full:
                self._make_room(wanted - coming)
                return None
            try:
                self.all.append(Worker(self._selector, self._settings, self._owner, self._clock))
            except WorkerError as error:
                return error
            coming += 1
        return None

    def _make_room(self, wanted: int) -> None:
        wanted -= sum(1 for worker in self.all if worker.state in {ChildState.LEAVING, ChildState.DYING})
        idle = [worker for worker in self.all if worker.state is ChildState.IDLE]
        for worker in sorted(idle, key=lambda worker: worker.idle_since)[: max(wanted, 0)]:
            self.dismiss(worker)

    def dismiss(self, worker: Worker) -> None:
        """Let an idle worker go."""
        worker.leave(deadline=self._clock() + _LEAVE_S)

    def came_up(self) -> None:
        """A worker is up and locked down: starts are fine again."""
        self._failures = 0

    def not_started(self) -> None:
        """A worker did not come up: pause before the next start, longer each time."""
        first, longest = _BACK_OFF_S
        self._start_after = self._clock() + min(first * 2**self._failures, longest)
        self._failures = min(self._failures + 1, 16)

    def flush(self) -> None:
        """Send the tasks that wait behind others."""
        for worker in self.all:
            worker.flush()

    def next_deadline(self, wanted: int) -> float | None:
        """When :meth:`tick`, or :meth:`start` of as many workers, is due (seconds on the clock)."""
        times = []
        for worker in self.all:
            if worker.deadline is not None:
                times.append(worker.deadline)
                if worker.waiting:
                    times.append(worker.head_since + _WAIT_S)
            elif worker.state is ChildState.IDLE:
                times.append(worker.idle_since + self._settings.idle_s)
        if self.coming < wanted and not self.full:
            times.append(self._start_after)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Kill what is overdue, let idle workers go."""
        for worker in tuple(self.all):
            worker.tick(now)
            if worker.state is ChildState.IDLE and now >= worker.idle_since + self._settings.idle_s:
                self.dismiss(worker)

    def close(self) -> None:
        """Kill all and wait until they are gone."""
        for worker in self.all:
            worker.close()
        self.all.clear()
