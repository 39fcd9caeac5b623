"""All jobs of the device that are not at their end: the one dict of them, and the one way in which each goes on.

A job comes in (:meth:`Jobs.take`), waits for its turn, is run by a worker, and ends with one operation of the journal:
receipt, final state, result and outgoing message together. Only then is its message acknowledged and its result
published. A job that has not ended :data:`RECEIPT_S` after it came gets its receipt first, so that the broker's window
does not fill with jobs that take long. What the journal has done comes back as values (:meth:`Jobs.on_committed`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from waspi.backoff import Backoff
from waspi.device.job import LAST_ATTEMPT, Job, Receipt, answer_to, job_of_row, keep_for_acknowledgement
from waspi.device.waiting import HELD_BYTES, Waiting
from waspi.errors import (
    CanceledError,
    CrashedDeviceError,
    EnvelopeError,
    ExpiredError,
    Fault,
    IllegalTransitionError,
    StorageError,
    UnknownModuleError,
    WaspiError,
)
from waspi.journal.operations import Count, Finish, Operation, Receive, Sent
from waspi.journal.rows import JobRow, OutboxRow
from waspi.model.abi import environment_block
from waspi.model.result import JobError, Result, Usage
from waspi.model.state import JobState
from waspi.protocol.result_envelope import encode_result
from waspi.sandbox.task import Done, Task

if TYPE_CHECKING:
    from waspi.device.announcer import Announcer
    from waspi.device.budget import Budget
    from waspi.device.clock import Clock
    from waspi.device.outbox import Outbox
    from waspi.journal.journal import Journal, Outcome
    from waspi.journal.writer import Writer
    from waspi.model.job import Job as Request
    from waspi.mqtt.link import Link
    from waspi.mqtt.message import Incoming
    from waspi.sandbox.cache import ModuleCache
    from waspi.sandbox.pool import Pool
    from waspi.updates.service import Updates

RECEIPT_S: Final = 0.02
"""Seconds that a job has to end before the disk is told of it (RATIONALE.md has figures)."""
_RESULT_BYTES: Final = 1024 * 1024
"""Bytes that a result is expected to have before there were any."""
_LOADED: Final = 64
"""Waiting jobs read from the disk at once."""

_log = logging.getLogger(__name__)


class Jobs:
    """Owns every job from its arrival until its end is on the disk. For the loop's thread."""

    def __init__(
        self,
        device: str,
        journal: Journal,
        writer: Writer,
        cache: ModuleCache,
        pool: Pool,
        link: Link,
        outbox: Outbox,
        announcer: Announcer,
        updates: Updates | None,
        budget: Budget,
        clock: Clock,
        *,
        trace: bool,
    ) -> None:
        """Find out what an earlier life of the agent left: its jobs wait on the disk, and their modules are kept."""
        self._device = device
        self._journal = journal
        self._writer = writer
        self._cache = cache
        self._pool = pool
        self._link = link
        self._outbox = outbox
        self._announcer = announcer
        self._updates = updates
        self._budget = budget
        self._clock = clock
        self._trace = trace
        self._told = lru_cache(maxsize=64)(self._tell)
        self._jobs: dict[str, Job] = {}
        self._young: deque[Job] = deque()
        """Those without a receipt, in order of arrival; some have ended."""
        self._unkept = 0
        """Jobs that the disk does not know of."""
        self._unkept_bytes = 0
        self._first: deque[Job] = deque()
        """Those whose start is counted, or that were held up by the disk: they are the next."""
        self._counting: set[str] = set()
        """Ids of jobs whose start is on its way to be counted."""
        self._in_trouble = False
        """Whether the disk did not take or give what a worker needs of a module."""
        self._not_before = 0.0
        """When a disk in trouble is tried again; 0: no time has to pass."""
        self._backoff = Backoff(first=0.5, longest=30.0)
        self._lasts: dict[str, float] = {}
        """For jobs that wait on the disk only: when their expiry has passed (monotonic seconds)."""
        self._last_found = journal.reader.last_seq()
        """``seq`` of the newest job of an earlier life."""
        for digest in journal.reader.pinned():
            cache.pin(digest)
        self._waiting = Waiting(more_on_disk=journal.usage.open > 0)
        self.running = 0
        """Jobs that are with the workers."""
        self._result_bytes = float(_RESULT_BYTES)
        """What a result is expected to have."""
        self._alone: Job | None = None
        """The job that runs with no other beside it, because it may take the device down."""
        self.draining = False
        """Set when the agent is about to stop: nothing new starts."""

    # --- in -----------------------------------------------------------------------------------------------------------

    def find(self, job_id: str) -> Job | None:
        """The job of that id, unless it is at its end or waits on the disk only."""
        return self._jobs.get(job_id)

    def find_delivery(self, message: Incoming) -> Job | None:
        """The plain job that ``message``, which is marked as a duplicate, brings once more."""
        return next((job for job in self._jobs.values() if job.plain and job.repeats(message)), None)

    @property
    def unkept(self) -> int:
        """Jobs that the disk does not know of (``int``)."""
        return self._unkept

    @property
    def unkept_bytes(self) -> int:
        """Bytes of their inputs (``int``)."""
        return self._unkept_bytes

    def take(self, job: Job) -> None:
        """Take a new job in; its messages are acknowledged when it is on the disk."""
        self._jobs[job.id] = job
        self._unkept += 1
        self._unkept_bytes += job.size
        self._cache.pin(job.digest)
        if job.uncounted or self._waiting.goes_behind(job.priority):
            self._enter_receipt(job)
            return
        self._young.append(job)
        self._wait(job)
        self.pump()

    def repeat(self, job: Job, message: Incoming) -> None:
        """The message that brought this job came once more."""
        if job.receipt is Receipt.KEPT:
            self._acknowledge(job, message)
        else:
            keep_for_acknowledgement(job.messages, message)

    def cancel(self, job_id: str, message: Incoming, reason: str) -> bool:
        """Stop a job, waiting or running; ``message`` is acknowledged when it is at its end. ``False``: no such job."""
        job = self._jobs.get(job_id) or self._load_one(job_id)
        if job is None:
            return False
        keep_for_acknowledgement(job.cancels, message)
        job.canceled = True
        job.cancel_reason = job.cancel_reason or reason
        if job.state is JobState.QUEUED:
            self._fail_canceled(job)
        elif job.state is JobState.IN_PROGRESS:
            self._pool.cancel(job_id)
        return True

    # --- out ----------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start what there are workers for; costs nothing where there is nothing to start."""
        if self._in_trouble and self._not_before:
            if self._clock.monotonic() < self._not_before:
                return
            self._not_before = 0.0  # whatever else holds a job up now calls again
        if self._writer.trouble is not None:
            return
        while not self.draining and self._has_room_for_results():
            job = self._next()
            if job is None:
                return
            error = self._reason_not_to(job)
            if error is None and not self._admits(job):
                return
            if self._first:
                self._first.popleft()
            else:
                self._waiting.take()
            if error is not None:
                self._fail(job, JobState.EXPIRED if isinstance(error, ExpiredError) else JobState.FAILED, error)
            elif job.uncounted:
                self._counting.add(job.id)
                if job.attempt == LAST_ATTEMPT:
                    self._alone = job
                self._writer.enter(Count(job.id, job.attempt))
            else:
                self._start(job)

    def on_done(self, done: Done) -> None:
        """A worker is through with a job."""
        job, spent, error = self._jobs[done.job_id], done.usage, done.error
        self.running -= 1
        if self._alone is job:
            self._alone = None
        request = job.request
        if error is not None:
            job.blameless = job.blameless or not done.blames_module
            if done.state is JobState.CANCELED:
                error = replace(error, message=_with_reason(error.message, job.cancel_reason))
            elif error.fault is Fault.GUEST and error.kind in job.own_terms:
                error = replace(error, fault=Fault.PUBLISHER, message=f"{error.message}: the job's own limit")
        self._budget.end((request.limits.memory_bytes or 0) if request is not None else 0, spent.run_us)
        if error is not None and error.kind == StorageError.kind:
            self._wait_for_disk(job, error)
            return
        if self._in_trouble:
            self._in_trouble = False
            self._backoff.reset()
            self._announcer.degraded("artifacts", None)
        self._end(
            job,
            Result(
                done.job_id,
                self._device,
                done.state,
                done.outputs,
                request is not None and request.batch,
                error,
                done.log,
                Usage(spent.fuel, spent.memory_bytes, spent.run_us, job.queue_us, spent.module),
                job.attempt,
                job.label,
            ),
        )
        if self._waiting or self._first:
            self.pump()

    def tick(self, now: float) -> None:
        """Give a receipt to jobs that do not end soon."""
        young = self._young
        while young and (young[0].receipt is not Receipt.NONE or young[0].arrived + RECEIPT_S <= now):
            job = young.popleft()
            if job.receipt is Receipt.NONE:
                self._enter_receipt(job)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` or :meth:`pump` wants to be called (monotonic seconds)."""
        young = self._young
        while young and young[0].receipt is not Receipt.NONE:
            young.popleft()
        receipt = young[0].arrived + RECEIPT_S if young else None
        budget = self._budget.next_deadline(self._clock.monotonic()) if self._waiting or self._first else None
        disk = self._not_before if self._in_trouble and self._not_before and (self._waiting or self._first) else None
        return min((each for each in (receipt, budget, disk) if each is not None), default=None)

    def give_back(self) -> None:
        """The agent stops: the starts of jobs that have not ended by now do not count, and are made again."""
        for job in self._jobs.values():
            counted = job.state is JobState.IN_PROGRESS or job in self._first or job.id in self._counting
            if counted and not job.state.final and job.receipt is not Receipt.NONE:
                self._writer.enter(Count(job.id, job.attempt - 1))

    # --- what the journal tells ---------------------------------------------------------------------------------------

    def on_committed(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """These operations are on the disk."""
        for operation, outcome in zip(operations, outcomes, strict=True):
            if isinstance(outcome, IllegalTransitionError):
                _log.error("the journal refuses an operation: %s", outcome.message)
            if isinstance(operation, Finish):
                self._on_end_kept(operation, outcome)
            elif isinstance(operation, Receive):
                self._on_receipt_kept(self._jobs[operation.row.id])
            elif isinstance(operation, Count):
                self._counting.discard(operation.job_id)
                self._on_counted(self._jobs.get(operation.job_id))
            elif isinstance(operation, Sent):
                self._outbox.on_forgotten(operation.outbox_id)
            elif isinstance(outcome, OutboxRow):
                self._outbox.on_replaced(outcome)
        self.pump()

    def _on_end_kept(self, operation: Finish, outcome: Outcome) -> None:
        job = self._jobs.pop(operation.row.id)
        if not operation.received:
            self._no_longer_unkept(job)
        job.receipt = Receipt.KEPT
        self._cache.unpin(job.digest)
        self._acknowledge_all(job)
        for message in job.cancels:
            self._link.acknowledge(message)
        if isinstance(outcome, OutboxRow):
            self._outbox.add(outcome)
        if self._updates is not None:
            self._updates.on_job_end(job.label, job.error, publishers_terms=job.blameless)

    def _on_receipt_kept(self, job: Job) -> None:
        self._no_longer_unkept(job)
        job.receipt = Receipt.KEPT
        self._acknowledge_all(job)
        if job.state is not JobState.QUEUED:
            return
        self._announcer.on_change(job, JobState.QUEUED)
        if not job.in_line:
            if self._waiting.goes_behind(job.priority):
                self._leave_to_disk(job)
            else:
                self._wait(job)

    def _on_counted(self, job: Job | None) -> None:
        if job is None:
            return
        job.uncounted = False
        if job.state is JobState.QUEUED:
            self._first.append(job)
        elif self._alone is job:
            self._alone = None

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _enter_receipt(self, job: Job) -> None:
        job.receipt = Receipt.ENTERED
        self._writer.enter(Receive(job.to_receipt()))

    def _wait(self, job: Job) -> None:
        job.in_line = True
        self._waiting.add(job)
        if not self._waiting.full:
            return
        for each in self._waiting.empty():
            each.in_line = False
            if each.state is not JobState.QUEUED:
                continue
            if each.receipt is Receipt.KEPT:
                self._leave_to_disk(each)
            elif each.receipt is Receipt.NONE:
                self._enter_receipt(each)

    def _leave_to_disk(self, job: Job) -> None:
        del self._jobs[job.id]
        if job.lasts is not None:
            self._lasts[job.id] = job.lasts

    def _load(self) -> None:
        """Read the next ones that wait on the disk."""
        rows = self._journal.reader.queued(_LOADED, without=self._jobs.keys(), max_bytes=HELD_BYTES)
        self._waiting.more_on_disk = len(rows) == _LOADED or sum(len(row.body) for row in rows) >= HELD_BYTES
        for row in rows:
            job = self._loaded(row)
            job.in_line = True
            self._waiting.add(job)

    def _load_one(self, job_id: str) -> Job | None:
        """The job of that id, if it waits on the disk."""
        if self._journal.reader.state(job_id) is not JobState.QUEUED:
            return None
        row = self._journal.reader.job(job_id)
        return None if row is None else self._loaded(row)

    def _loaded(self, row: JobRow) -> Job:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        job = self._jobs[row.id] = job_of_row(row, now=now, monotonic=monotonic, found=row.seq <= self._last_found)
        if (lasts := self._lasts.pop(row.id, None)) is not None:
            job.lasts = lasts
        return job

    # --- starting and ending ------------------------------------------------------------------------------------------

    def _next(self) -> Job | None:
        while self._first and self._first[0].state is not JobState.QUEUED:
            self._first.popleft()
        if self._first:
            return self._first[0]
        job = self._waiting.best()
        if job is None and self._waiting.hungry:
            self._load()
            job = self._waiting.best()
        return job

    def _has_room_for_results(self) -> bool:
        """Whether the outbox will have room for one more result, after those of the jobs that run now."""
        if self._journal.may_start(self._writer.bytes_waiting + self.running * int(self._result_bytes)):
            return True
        self._writer.hurry()  # rows that the broker has taken may go
        return False

    def _reason_not_to(self, job: Job) -> WaspiError | None:
        """Why this job does not start at all."""
        if job.lasts is not None and self._is_overdue(job):
            return ExpiredError("its expiry passed while it waited")
        if job.attempt > LAST_ATTEMPT:
            return CrashedDeviceError(f"the device went down each of the {LAST_ATTEMPT} times that this job ran")
        if job.request is None:
            return EnvelopeError("what the journal holds of it is no job")
        if not self._cache.has(job.digest):
            return UnknownModuleError("its module is no longer in the cache; send it inline again")
        return None

    def _wait_for_disk(self, job: Job, error: JobError) -> None:
        """The disk does not take or give what a worker needs of its module: it has not begun, and waits."""
        job.become(JobState.QUEUED)
        if job.canceled:  # the pool had ended it already when it was told
            self._fail_canceled(job)
        else:
            self._first.append(job)
        self._in_trouble = True
        self._not_before = self._clock.monotonic() + self._backoff.next()
        self._announcer.degraded("artifacts", StorageError(error.message))

    def _is_overdue(self, job: Job) -> bool:
        """Whether the expiry has passed, by the clock or by the seconds that went by while somebody set it back."""
        return (job.expires_at is not None and job.expires_at <= self._clock.now()) or (
            job.lasts is not None and job.lasts <= self._clock.monotonic()
        )

    def _admits(self, job: Job) -> bool:
        """Whether it may start now, or be counted for that: there is a worker for it, and the budget allows it."""
        if self._alone is not job:
            if self._alone is not None:
                return False
            if job.attempt == LAST_ATTEMPT and (self.running or self._counting):
                return False
        # A worker is kept free for each start that is being counted: what is counted is as good as started.
        request = job.request
        if request is None:
            return True
        takes = self._pool.takes(self._task(job, request))
        if job.uncounted or (self._counting and not self._first):
            takes = takes and self._pool.free > len(self._counting)
        return takes and self._budget.admits(request.limits.memory_bytes or 0, self._clock.monotonic())

    def _start(self, job: Job) -> None:
        request = job.request
        if request is None:
            return
        job.become(JobState.IN_PROGRESS)
        job.in_line = False
        self.running += 1
        job.queue_us = max(0, int((self._clock.now() - job.received_at) * 1_000_000))
        self._announcer.on_change(job, JobState.IN_PROGRESS)
        self._budget.begin(request.limits.memory_bytes or 0)
        self._pool.submit(self._task(job, request))
        job.task = None  # the pool has the inputs now

    def _task(self, job: Job, request: Request) -> Task:
        if job.task is None:
            told = b"WASPI_JOB=%b\0%b" % (job.id.encode(), self._told(job.label))
            job.task = Task(
                job.id,
                job.digest,
                request.effective_abi,
                request.limits,
                request.inputs,
                self._trace,
                job.priority,
                job.publisher,
                job.blameless,
                job.asked,
                environment=told,
            )
        return job.task

    def _tell(self, label: str) -> bytes:
        """What a guest is told of device and module: the part of its environment that many jobs share."""
        known = {"WASPI_DEVICE": self._device}
        named = "" if label.startswith("sha256:") else label.partition(" ")[0]
        if named:
            known["WASPI_MODULE"], _, known["WASPI_VERSION"] = named.partition("@")
        return environment_block(known)

    def _fail_canceled(self, job: Job) -> None:
        told = CanceledError(_with_reason("canceled before it ran", job.cancel_reason))
        self._fail(job, JobState.CANCELED, told)

    def _fail(self, job: Job, state: JobState, error: WaspiError) -> None:
        """End a job that does not start."""
        if self._alone is job and not job.uncounted:
            self._alone = None
        job.attempt -= 1
        told = JobError(error.fault, error.kind, error.message)
        self._end(job, Result(job.id, self._device, state, error=told, attempt=job.attempt, module=job.label))

    def _end(self, job: Job, result: Result) -> None:
        """The one operation that ends a job is on its way to the disk."""
        job.become(result.state)
        job.error = result.error
        job.request = job.task = None
        encoded = encode_result(result)
        # A large one counts at once, and is forgotten slowly.
        self._result_bytes = max(len(encoded), self._result_bytes + (len(encoded) - self._result_bytes) / 8)
        received = job.receipt is not Receipt.NONE
        job.receipt = Receipt.ENTERED
        entry = answer_to(job, result, encoded)
        self._writer.enter(Finish(job.to_row(b"", job.attempt, encoded), received, entry))
        self._announcer.on_end(job.id)

    def _no_longer_unkept(self, job: Job) -> None:
        self._unkept -= 1
        self._unkept_bytes -= job.size

    def _acknowledge_all(self, job: Job) -> None:
        for message in job.messages:
            self._acknowledge(job, message)
        job.messages.clear()

    def _acknowledge(self, job: Job, message: Incoming) -> None:
        if self._link.acknowledge(message) and job.plain:
            self._outbox.acknowledged(job.id)


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
