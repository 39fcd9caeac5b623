"""Jobs between the journal and the workers: which starts next, and what becomes of it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count

from waspi.device.active_job import ActiveJob
from waspi.device.budget import Budget
from waspi.device.clock import Clock
from waspi.device.job_end import JobEnd
from waspi.device.ledger import Ledger
from waspi.device.recovery import recover
from waspi.device.redelivery import is_repeated
from waspi.device.waiting import WaitingJobs
from waspi.errors import (
    CanceledError,
    EnvelopeError,
    ExpiredError,
    StorageError,
    UnknownModuleError,
    WaspiError,
)
from waspi.journal.journal import Journal
from waspi.journal.operations import Operation, Receive, Requeue, Start
from waspi.journal.rows import JobRow, OutboxRow
from waspi.journal.start_record import StartRecord
from waspi.model.abi import environment_block
from waspi.model.job import Job
from waspi.model.module import DigestModule
from waspi.model.result import Result, Usage
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming
from waspi.protocol.job_envelope import decode_job
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.task import Done, Task

_AHEAD = 32
"""Jobs per worker that are marked as started in advance, at most."""
_AHEAD_US = 8_000.0
"""Microseconds of work that are marked in advance: about what an SD card takes for a commit."""
_AHEAD_BODY_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class JobQueue:
    """Starts jobs in order of priority and arrival, each at most once, and records how they end.

    ``on_change(row, state)`` is told of a job's states but the last one, ``on_end(job id)`` of that; ``on_rows`` gets
    what is to be published.
    """

    def __init__(
        self,
        device: str,
        journal: Journal,
        ledger: Ledger,
        starts: StartRecord,
        cache: ModuleCache,
        workers: int,
        budget: Budget,
        trace: bool,
        clock: Clock,
        on_rows: Callable[[tuple[OutboxRow, ...]], None],
        on_change: Callable[[JobRow, JobState], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._device = device
        self._journal = journal
        self._ledger = ledger
        self._starts = starts
        self._cache = cache
        self._workers = workers
        self._budget = budget
        self._trace = trace
        self._clock = clock
        self._on_change = on_change
        self._on_end = on_end
        self.ends = JobEnd(device, ledger, cache, on_rows, self._at_end)
        self._told = lru_cache(maxsize=64)(self._tell)
        self._pool: Pool | None = None
        self._receiving: dict[str, tuple[JobRow, list[Callable[[], object]]]] = {}
        self._active: dict[str, ActiveJob] = {}
        self._waiting = WaitingJobs(journal.reader)
        self._marked: list[tuple[int, int, str]] = []
        self._expiries: dict[str, float] = {}
        self._typical_us = float(_AHEAD_US)
        self._arrivals = count()
        self.draining = False
        """Set when the agent is about to stop: nothing new starts."""

    def attach(self, pool: Pool) -> None:
        """Hand over the pool, which was made with :meth:`on_done`."""
        self._pool = pool

    @property
    def running(self) -> int:
        """Jobs that have a worker."""
        return sum(1 for each in self._active.values() if each.task is None)

    @property
    def starving(self) -> bool:
        """Whether a worker waits for a job whose start is not on the disk."""
        return not self._marked and self._pool is not None and self._pool.free > 0

    def recover(self) -> None:
        """At start: settle what was running when the device went down."""
        recover(self._journal.reader, self._starts, self._cache, self._ledger, self.ends, self._requeued)

    def _requeued(self, _rows: tuple[OutboxRow, ...]) -> None:
        self._waiting.look_at_disk()
        self.pump()

    # --- in ---------------------------------------------------------------------------------------------------------

    def receiving(self, job_id: str) -> JobRow | None:
        """The job of that id whose receipt is not committed yet."""
        found = self._receiving.get(job_id)
        return found[0] if found else None

    def receiving_delivery(self, message: Incoming) -> str | None:
        """Id of the plain job that ``message`` brings once more and whose receipt is not committed yet."""
        if self._receiving:
            for row, _ in self._receiving.values():
                if row.delivery == message.packet_id and is_repeated(row, message):
                    return row.id
        return None

    def holds(self, job_id: str) -> bool:
        """Whether the job of that id is on its way to a worker, with one, or on its way to its end."""
        return job_id in self._active or job_id in self.ends.under_way

    def after_receipt(self, job_id: str, effect: Callable[[], object]) -> None:
        """Call ``effect`` when the receipt of that job is committed."""
        self._receiving[job_id][1].append(effect)

    def begins_at_once(self, body_bytes: int, memory_bytes: int) -> bool:
        """Whether a job that comes now may share one commit for receipt and start: there is room, and nobody waits."""
        return (
            not self._waiting
            and self._room(body_bytes) > 0
            and self._journal.may_start
            and not self.draining
            and self._budget.admits(memory_bytes, self._clock.monotonic())
        )

    def take(self, row: JobRow, job: Job, effect: Callable[[], object], known: Callable[[], object]) -> None:
        """Take in a job; ``effect`` (its acknowledgement) is called when it is on the disk.

        ``known`` is called instead when the journal finds that it has a job of that id already. ``job`` is what
        ``row.body`` holds. A row that is IN_PROGRESS :meth:`begins_at_once`.
        """
        job_id = row.id
        direct = row.state is JobState.IN_PROGRESS
        if direct:
            self._active[job_id] = ActiveJob(row, self._task(row, job), job.batch, job.limits.memory_bytes or 0)
        effects = [effect]
        self._receiving[job_id] = (row, effects)
        lasts = None if row.expires_at is None else self._clock.monotonic() + row.expires_at - self._clock.now()
        self._cache.pin(row.digest)

        def received(_rows: tuple[OutboxRow, ...]) -> None:
            del self._receiving[job_id]
            if lasts is not None:
                self._expiries[job_id] = lasts
            if direct:
                self._started(job_id)
            else:
                self._on_change(row, JobState.QUEUED)
                self._waiting.hold(row)
                self.pump()
            _call(effects)  # a cancel may be among them: now it finds the job

        def refused() -> None:
            if direct:
                _call(self._active.pop(job_id).canceled or ())  # it has ended long ago
            self._cache.unpin(row.digest)
            del self._receiving[job_id]
            self._waiting.look_at_disk()  # a load in between may have left out the one that is known
            known()
            _call(effects[1:])

        self._ledger.enter([Receive(row)], received, refused)

    def cancel(self, job_id: str, effect: Callable[[], object], reason: str = "") -> None:
        """Stop a job, queued or running; ``effect`` is called when that is as good as done.

        ``reason`` goes into the result.
        """
        if job_id in self._receiving and job_id not in self._active:
            self.after_receipt(job_id, lambda: self.cancel(job_id, effect, reason))
            return
        active = self._active.get(job_id)
        if active is not None:
            active.canceled = [*(active.canceled or ()), effect]
            active.reason = active.reason or reason
            if any(job_id == each for _, _, each in self._marked):
                self._marked = [each for each in self._marked if each[2] != job_id]
                heapq.heapify(self._marked)
                del self._active[job_id]
                self._end_unrun(active, _canceled("canceled before it ran", reason))
            if self._pool is not None:
                self._pool.cancel(job_id)
            return
        row = self._journal.reader.job(job_id)
        if row is None or row.state is not JobState.QUEUED or job_id in self.ends.under_way:
            effect()
            return
        self._waiting.drop(job_id)
        error = _canceled("canceled while it waited", reason)
        self.ends.fail(row, JobState.CANCELED, error, then=effect)

    # --- out --------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start what there are workers for; costs nothing where there is nothing to start."""
        self._dispatch()
        while self._waiting and self._journal.may_start and not self.draining:
            row = self._waiting.best(self._busy)
            if row is None or self._room(len(row.body)) <= 0:
                return
            self._waiting.take_best()
            if self._overdue(row):
                error = ExpiredError("its expiry passed while it waited")
                self.ends.fail(row, JobState.EXPIRED, error)
                continue
            try:
                job = decode_job(row.body)
                task = self._task(row, job)
            except EnvelopeError as error:
                self.ends.fail(row, JobState.FAILED, error)
                continue
            row = replace(row, state=JobState.IN_PROGRESS, attempt=row.attempt + 1)
            self._active[row.id] = ActiveJob(row, task, job.batch, job.limits.memory_bytes or 0)
            self._ledger.enter([Start(row.id, row.attempt)], partial(self._started, row.id))

    def on_done(self, done: Done) -> None:
        """A worker is through with a job."""
        active = self._active.pop(done.job_id)
        row, spent, error = active.row, done.usage, done.error
        if error is not None and done.state is JobState.CANCELED:
            error = replace(error, message=_with_reason(error.message, active.reason))
        self._budget.end(active.memory_bytes, spent.run_us)
        self._typical_us += (spent.run_us - self._typical_us) / 8
        self._dispatch()
        self.ends.finish(
            row,
            Result(
                done.job_id,
                self._device,
                done.state,
                done.outputs,
                active.batch,
                error,
                done.log,
                Usage(spent.fuel, spent.memory_bytes, spent.run_us, active.queue_us, spent.module),
                row.attempt,
                row.label,
            ),
            None if active.canceled is None else partial(_call, active.canceled),
        )
        if self._waiting:
            self.pump()

    def next_deadline(self) -> float | None:
        """When :meth:`pump` wants to be called: a spent budget fills up again."""
        return self._budget.next_deadline(self._clock.monotonic()) if self._marked else None

    # --- inside -----------------------------------------------------------------------------------------------------

    def _at_end(self, job_id: str) -> None:
        self._expiries.pop(job_id, None)
        self._on_end(job_id)

    def _busy(self) -> list[str]:
        return [*self._active, *self.ends.under_way, *self._receiving]

    def _room(self, body_bytes: int) -> int:
        """How many more jobs may be marked as started.

        One for each worker; more where jobs are so short that a worker would wait for the disk between two of them.
        """
        ahead = 1
        if body_bytes <= _AHEAD_BODY_BYTES:
            ahead = max(1, min(_AHEAD, int(_AHEAD_US / max(self._typical_us, 1.0))))
        return self._workers * ahead - len(self._active)

    def _overdue(self, row: JobRow) -> bool:
        """Whether the expiry has passed, by the clock or by the seconds that went by while somebody set it back."""
        if row.expires_at is None:
            return False
        due = self._expiries.get(row.id)
        return row.expires_at <= self._clock.now() or (due is not None and due <= self._clock.monotonic())

    def _task(self, row: JobRow, job: Job) -> Task:
        module = job.module
        if not isinstance(module, DigestModule):
            raise EnvelopeError("a stored job names its module by digest")
        told = b"WASPI_JOB=%b\0%b" % (row.id.encode(), self._told(row.module))
        return Task(
            row.id,
            module.sha256,
            job.effective_abi,
            job.limits,
            job.inputs,
            self._trace,
            priority=row.priority,
            environment=told,
        )

    def _tell(self, module: str) -> bytes:
        """What a guest is told of device and module: the part of its environment that many jobs share.

        ``module``: as :attr:`waspi.device.catalog.Resolved.where` has it.
        """
        known = {"WASPI_DEVICE": self._device}
        label = module.rpartition("#")[0].partition(" ")[0]
        if label:
            known["WASPI_MODULE"], _, known["WASPI_VERSION"] = label.partition("@")
        return environment_block(known)

    def _started(self, job_id: str, _rows: tuple[OutboxRow, ...] = ()) -> None:
        """The start is on the disk: a worker may have the job, unless a cancel came first."""
        active = self._active[job_id]
        if active.canceled is not None and self._pool is not None:
            self._launch(job_id, self._pool)  # which ends it: no budget or worker is waited for
            return
        heapq.heappush(self._marked, (-active.row.priority, next(self._arrivals), job_id))
        self._dispatch()

    def _dispatch(self) -> None:
        pool = self._pool
        while self._marked and pool is not None and not self.draining:
            active = self._active[self._marked[0][2]]
            if active.task is not None and not pool.takes(active.task):
                return
            if not self._budget.admits(active.memory_bytes, self._clock.monotonic()):
                return
            self._launch(heapq.heappop(self._marked)[2], pool)

    def _launch(self, job_id: str, pool: Pool) -> None:
        active = self._active[job_id]
        error: WaspiError | None = None
        if active.canceled is not None or active.task is None:
            error = _canceled("canceled before it ran", active.reason)
        elif self._overdue(active.row):
            error = ExpiredError("its expiry passed before it ran")
        elif not self._cache.has(active.task.digest):
            error = UnknownModuleError("its module is no longer in the cache; send it inline again")
        else:
            try:
                self._starts.note(job_id)
            except StorageError as trouble:
                error = trouble
        if error is not None or active.task is None:
            del self._active[job_id]
            self._end_unrun(active, error or CanceledError("canceled before it ran"))
            self.pump()
            return
        active.queue_us = max(0, int((self._clock.now() - active.row.received_at) * 1_000_000))
        self._on_change(active.row, JobState.IN_PROGRESS)
        self._budget.begin(active.memory_bytes)
        pool.submit(active.task)
        active.task = None  # the pool has the inputs now
        if self._starts.full:
            self._starts.forget_all_but(each for each, one in self._active.items() if one.task is None)

    def _end_unrun(self, active: ActiveJob, error: WaspiError) -> None:
        """End a job whose start is marked and that no worker got."""
        state, before = JobState.FAILED, list[Operation]()
        if isinstance(error, CanceledError):
            state = JobState.CANCELED
        elif isinstance(error, ExpiredError):
            state, before = JobState.EXPIRED, [Requeue(active.row.id)]  # only a job that waits expires
        self.ends.fail(active.row, state, error, partial(_call, active.canceled or ()), before)


def _canceled(what: str, reason: str) -> CanceledError:
    return CanceledError(_with_reason(what, reason))


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what


def _call(effects: Iterable[Callable[[], object]]) -> None:
    for effect in effects:
        effect()
