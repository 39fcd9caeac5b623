"""Who commits, and when: the one way for the agent's loop to the disk.

Whatever leaves the device (an acknowledgement, a published result) follows a commit. While one batch is on its way to
the disk, the next one gathers (group commit). A batch of ordinary size is turned into SQL by the loop's thread: that is
Python for the most part, and two threads would only wait for each other (RATIONALE.md has figures). What waits for the
disk is a thread's: the COMMIT of a durable journal unless its disk is fast, checkpoints, and all of a batch that is
large or finds a lock. When the disk refuses, nothing is given up: the operations are tried again, in order.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from queue import SimpleQueue
from time import monotonic
from typing import Final, Protocol, TypeAlias

from waspi.backoff import Backoff
from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.connection import CHECKPOINT_PAGES
from waspi.journal.journal import Journal, Outcome, Prepared
from waspi.journal.operations import Operation
from waspi.journal.schema import PAGE_SIZE

BATCH_OPERATIONS: Final = 1024
"""Operations in one commit at most: no message waits for an endless batch."""
BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of bodies and results in one commit at most (the operation that passes it is the last one)."""
FAST_S: Final = 0.0005
"""Seconds of a COMMIT, sync included, that cost less than handing it to a thread and hearing of its end."""
LINGER_S: Final = 600.0
"""Seconds that what is not urgent waits for something urgent to share a commit with."""
COMPANY: Final = 64
"""Operations that are commit enough by themselves, although none of them is urgent."""

_AT_ONCE_BYTES: Final = 128 * 1024
"""Bytes of bodies and results in a batch that the loop's thread prepares: beyond, SQLite's cache spills."""
_AT_ONCE_OPERATIONS: Final = 256
_PAGES: Final = 1
"""Pages that a small operation leaves in the write-ahead log, about."""

_Work: TypeAlias = Prepared | Sequence[Operation]
"""What is left to do of a batch: its COMMIT, or all of it."""


_log = logging.getLogger(__name__)


class WriterOwner(Protocol):
    """Who is told what became of its operations."""

    def on_committed(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """These are on the disk, in this order; an operation that the state table forbids was left out."""

    def on_disk(self, trouble: StorageError | None) -> None:
        """The disk begins to refuse, or (``None``) takes again."""


class CommitThread:
    """Waits for the disk in the loop's stead: one piece of work at a time."""

    def __init__(self, journal: Journal) -> None:
        """Start the thread; ``descriptor`` becomes readable when a piece of work is done."""
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._journal = journal
        self._work: SimpleQueue[tuple[_Work, bool] | None] = SimpleQueue()
        self._results: SimpleQueue[list[Outcome] | BaseException] = SimpleQueue()
        self._at_work = threading.Event()
        self.commit_s = 0.0
        """Seconds that the latest piece of work took."""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the journal is the thread's just now (``bool``), be it for a checkpoint after a commit."""
        return self._at_work.is_set()

    def begin(self, work: _Work, *, checkpoint: bool = False) -> None:
        """Do this, and after it a checkpoint if so wanted; not while :attr:`busy`."""
        self._at_work.set()
        self._work.put((work, checkpoint))

    def result(self) -> list[Outcome] | StorageError | None:
        """What became of the work, once; ``None`` before that. Raises whatever killed the thread."""
        if self._results.empty():
            return None
        result = self._results.get()
        if isinstance(result, BaseException) and not isinstance(result, StorageError):
            raise result
        return result

    def close(self, timeout_s: float) -> None:
        """End the thread after what it has begun. Raises ``StorageError`` when the disk does not come back."""
        self._work.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise StorageError(f"the journal's last commit took longer than {timeout_s:g} s; check the disk")
        os.close(self.descriptor)

    def _run(self) -> None:
        while (given := self._work.get()) is not None:
            work, checkpoint = given
            began = monotonic()
            try:
                done = self._journal.complete(work) if isinstance(work, Prepared) else self._journal.commit(work)
            except BaseException as error:  # noqa: BLE001 - handed to the loop's thread, which raises what is a bug
                self._tell(error, at_work=False)
            else:
                self.commit_s = monotonic() - began
                self._tell(done, at_work=checkpoint)
                if checkpoint:
                    self._journal.checkpoint()
                    self._at_work.clear()
                    os.eventfd_write(self.descriptor, 1)

    def _tell(self, result: list[Outcome] | BaseException, *, at_work: bool) -> None:
        self._results.put(result)
        if not at_work:
            self._at_work.clear()
        os.eventfd_write(self.descriptor, 1)


class WriterState(StrEnum):
    """What the writer waits for."""

    READY = "ready"
    """Operations."""
    COMMITTING = "committing"
    """The thread."""
    REFUSED = "refused"
    """The disk, which has refused: the back-off."""


TRANSITIONS: Final[dict[WriterState, frozenset[WriterState]]] = {
    WriterState.READY: frozenset({WriterState.COMMITTING, WriterState.REFUSED}),
    WriterState.COMMITTING: frozenset({WriterState.READY, WriterState.REFUSED}),
    WriterState.REFUSED: frozenset({WriterState.COMMITTING, WriterState.READY}),
}


class Writer:
    """Commits operations in the order of :meth:`enter`. All methods are for the loop's thread."""

    def __init__(
        self,
        journal: Journal,
        owner: WriterOwner,
        thread: CommitThread,
        clock: Callable[[], float],
        *,
        fast_s: float = FAST_S,
    ) -> None:
        """``clock`` gives monotonic seconds; the loop calls :meth:`settle` when the thread's descriptor is readable.

        ``fast_s``: seconds of a durable COMMIT up to which the loop's thread waits for it itself.
        """
        self._journal = journal
        self._owner = owner
        self._thread = thread
        self._clock = clock
        self._fast_s = fast_s
        self._commit_s = 8 * fast_s + 0.001  # the first ones are the thread's
        self._queue: deque[Operation] = deque()
        self.bytes_waiting = 0
        """Bytes of bodies and results that are not on the disk."""
        self._urgent = False
        self._linger_until = 0.0
        self._batch: list[Operation] = []
        """With the thread."""
        self._since = 0.0
        self._pages = 0
        self._aside = 0
        """Batches that are left to the thread after a checkpoint was due."""
        self._checkpoint = False
        self._backoff = Backoff(first=0.5, longest=30.0)
        self._due = 0.0
        self.state = WriterState.READY
        self.trouble: StorageError | None = None
        """Why the disk refuses just now."""

    @property
    def idle(self) -> bool:
        """Whether all that is urgent of what was entered is on the disk (``bool``)."""
        return not self._urgent and not self._batch

    def enter(self, operation: Operation) -> None:
        """Have an operation committed; it leaves with the next :meth:`flush`."""
        if not self._queue:
            self._linger_until = self._clock() + LINGER_S
        self._urgent = self._urgent or operation.urgent
        self.bytes_waiting += operation.bytes_kept
        self._queue.append(operation)

    def hurry(self) -> None:
        """What waits for company waits no longer: somebody needs the room that it makes."""
        self._urgent = bool(self._queue)

    def flush(self) -> bool:
        """Begin a commit, if there is something to commit and nothing to wait for; whether the owner was told."""
        if self.state is WriterState.COMMITTING or self._thread.busy or not self._due_now():
            return False
        batch = self._take()
        prepared: Prepared | None = None
        if len(batch) <= _AT_ONCE_OPERATIONS and sum(each.bytes_kept for each in batch) <= _AT_ONCE_BYTES:
            try:
                prepared = self._journal.prepare(batch, patient=False)
                if prepared is not None and self._finishes(prepared):
                    self._settled(batch, self._complete(prepared))
                    return True
            except StorageError as error:
                self._refused(batch, error)
                return True
        self._batch = batch
        self._since = self._clock()
        self._become(WriterState.COMMITTING)
        self._thread.begin(prepared or batch, checkpoint=self._checkpoint)
        self._checkpoint = False
        return False

    def settle(self) -> None:
        """Tell the owner what the thread has done; call it when the thread's descriptor is readable."""
        os.eventfd_read(self._thread.descriptor)
        result = self._thread.result()
        if result is None:
            return
        batch, self._batch = self._batch, []
        if isinstance(result, StorageError):
            self._refused(batch, result)
            return
        self._note_time(self._thread.commit_s)
        self._settled(batch, result)

    def stuck_for(self, now: float) -> float:
        """Seconds for which the thread has been waiting for the disk."""
        return now - self._since if self.state is WriterState.COMMITTING else 0.0

    def next_deadline(self) -> float | None:
        """When :meth:`flush` wants to be called (monotonic seconds); ``None``: the descriptor, or nobody, will tell."""
        if not self._queue or self.state is WriterState.COMMITTING or self._thread.busy:
            return None
        if self.state is WriterState.REFUSED:
            return self._due
        return 0.0 if self._urgent or len(self._queue) >= COMPANY else self._linger_until

    def close(self, timeout_s: float = 30.0) -> None:
        """Commit what was entered, once, and stop the thread. The owner is told nothing any more.

        Neither broker nor workers are there any more, and the next start finds all of it on the disk. What the disk
        does not take was never acknowledged. Raises ``StorageError`` when it does not answer for ``timeout_s`` seconds.
        """
        self._thread.close(timeout_s)
        if self._batch and isinstance(self._thread.result(), StorageError):
            self._queue.extendleft(reversed(self._batch))
        if self._queue:
            try:
                self._journal.commit(self._queue)
            except StorageError as error:
                _log.error("%d changes are not on the disk and are made again: %s", len(self._queue), error.message)

    def _become(self, state: WriterState) -> None:
        if state is self.state:
            return
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"writer: no transition from {self.state} to {state}")
        self.state = state

    def _due_now(self) -> bool:
        if not self._queue:
            return False
        now = self._clock()
        if self.state is WriterState.REFUSED:
            return now >= self._due
        return self._urgent or len(self._queue) >= COMPANY or now >= self._linger_until

    def _take(self) -> list[Operation]:
        batch: list[Operation] = []
        size = 0
        most = 1 if self.state is WriterState.REFUSED else BATCH_OPERATIONS  # one tries whether the disk takes again
        while self._queue and len(batch) < most and size < BATCH_BYTES:
            operation = self._queue.popleft()
            batch.append(operation)
            size += operation.bytes_kept
        self._pages += _PAGES * len(batch) + size // PAGE_SIZE
        self._urgent = bool(self._queue)  # what is left has waited long enough
        return batch

    def _finishes(self, prepared: Prepared) -> bool:
        """Whether the loop's thread may commit this by itself: nothing of it waits for long."""
        if self._pages >= CHECKPOINT_PAGES:
            self._pages = 0
            self._checkpoint = True
            self._aside = 2  # the first commit after a checkpoint begins the log anew, and syncs its header
        if self._aside:
            self._aside -= 1
            return False
        if self._journal.durable and self._commit_s > self._fast_s:
            return False
        return self._journal.covers(prepared)

    def _complete(self, prepared: Prepared) -> list[Outcome]:
        began = monotonic()
        outcomes = self._journal.complete(prepared)
        self._note_time(monotonic() - began)
        return outcomes

    def _note_time(self, taken_s: float) -> None:
        """A slow commit counts at once, and is forgotten slowly."""
        self._commit_s = max(taken_s, self._commit_s + (taken_s - self._commit_s) / 8)

    def _settled(self, batch: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        self._become(WriterState.READY)
        self._backoff.reset()
        self.bytes_waiting -= sum([operation.bytes_kept for operation in batch])
        if self.trouble is not None:
            self.trouble = None
            self._owner.on_disk(None)
        self._owner.on_committed(batch, outcomes)

    def _refused(self, batch: Sequence[Operation], error: StorageError) -> None:
        """Nothing overtakes what the disk has refused."""
        self._queue.extendleft(reversed(batch))
        self._urgent = True
        self._become(WriterState.REFUSED)
        self._due = self._clock() + self._backoff.next()
        before, self.trouble = self.trouble, error
        if before is None:
            self._owner.on_disk(error)
