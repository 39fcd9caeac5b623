"""Who commits, and when. While one batch is on its way to the disk, the next one gathers (group commit).

A batch of ordinary size is turned into SQL by the caller's thread, the loop's: that is Python for the most part, and
two threads would only wait for each other (RATIONALE.md has figures). What waits for the disk is done by a thread: the
COMMIT of a durable journal unless its disk is fast, checkpoints, and all of a batch that is large or finds a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TypeAlias

from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.connection import CHECKPOINT_PAGES
from waspi.journal.journal import Journal, Outcome, Prepared
from waspi.journal.operations import Operation
from waspi.journal.rows import OutboxRow
from waspi.journal.schema import PAGE_SIZE

BATCH_OPERATIONS: Final = 1024
"""Operations in one commit at most: no message waits for an endless batch."""

FAST_S: Final = 0.0005
"""Seconds of a COMMIT, sync included, that cost less than handing it to a thread and hearing of its end."""

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of bodies and results in one commit at most (the batch that passes it is the last one)."""

_AT_ONCE_BYTES: Final = 128 * 1024
"""Bytes of bodies and results in a batch that the caller's thread prepares: beyond, SQLite's cache spills."""
_AT_ONCE_OPERATIONS: Final = 256

_PAGES: Final = 1
"""Pages that a group of operations on a small job leaves in the write-ahead log, about."""


@dataclass(slots=True)
class Committed:
    """The group is on the disk: its effects may be let out."""

    ticket: int
    outbox_rows: tuple[OutboxRow, ...]
    """Messages that the group put into the outbox, in order, with their ids."""


@dataclass(slots=True)
class Failed:
    """The group was not done.

    With a :class:`~waspi.errors.StorageError`: submit it again, after a while. With an
    :class:`~waspi.errors.IllegalTransitionError`: never will be.
    """

    ticket: int
    error: StorageError | IllegalTransitionError


Completion = Committed | Failed


class Writer:
    """Owns the journal's write connection. Groups are committed in the order of :meth:`submit`.

    After a ``StorageError`` everything that was submitted fails with it, in order, until :meth:`completed` has handed
    the failures out: so nothing overtakes what failed, and who submits the failed groups again in the order in which
    they came back has lost and reordered nothing.
    """

    def __init__(
        self, journal: Journal, wake: Callable[[], None], *, linger_s: float = 0.2, fast_s: float = FAST_S
    ) -> None:
        """Start the thread. All methods are to be called by one other thread.

        ``wake`` is called on the writer's thread whenever that has put something into :meth:`completed`; it must not
        block. What a call to :meth:`submit` has done at once nobody tells: see :attr:`ready`.
        ``linger_s``: seconds that a group without ``urgent`` operations waits for others to share an fsync with.
        ``fast_s``: seconds of a durable COMMIT up to which the caller's thread waits for it itself.
        """
        self._journal = journal
        self._wake = wake
        self._linger_s = linger_s
        self._fast_s = fast_s
        self._commit_s = 8 * fast_s + 0.001  # the first ones are the thread's
        self._lock = threading.Lock()
        self._notices: SimpleQueue[None] = SimpleQueue()
        """Each wakes the thread once."""
        self._waiting: deque[_Entry] = deque()
        self._waiting_operations = 0
        self._waiting_bytes = 0
        self._done: deque[Completion] = deque()
        self._tickets = 0
        self._urgent = False
        self._halted: StorageError | None = None
        self._busy = False
        """Whether somebody has the journal: the thread, or the caller on the thread's behalf."""
        self._prepared: tuple[_Batch, Prepared] | None = None
        self._pages = 0
        self._handed = False
        """Whether what waits is the thread's."""
        self._aside = 0
        """Batches that are left to the thread."""
        self._checkpoint = False
        """Whether it is to checkpoint after the next of them."""
        self._stopping = False
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, operations: Sequence[Operation]) -> int:
        """Have the group committed; its ticket (``int``, rising), to be found again in :meth:`completed`.

        Raises :class:`~waspi.errors.StorageError` after :meth:`stop`.
        """
        return self.submit_all([operations])

    def submit_all(self, groups: Sequence[Sequence[Operation]], *, urgent: bool = False) -> int:
        """Have several groups committed; the last one's ticket, the others' are the numbers before it.

        ``urgent``: none of them waits for company, whatever they are.
        Wakes the thread once. Raises :class:`~waspi.errors.StorageError` after :meth:`stop`.
        """
        entries: list[_Entry] = []
        operations = total = 0
        for group in groups:
            size = 0
            for operation in group:
                urgent = urgent or operation.urgent
                size += operation.bytes_kept
            self._tickets += 1
            entries.append((self._tickets, group, size))
            operations += len(group)
            total += size
        with self._lock:
            if self._stopping:
                raise StorageError("the journal is closed; nothing more can be committed")
            if not (self._waiting or urgent):
                self._notices.put(None)  # it begins to linger
            self._waiting.extend(entries)
            self._waiting_operations += operations
            self._waiting_bytes += total
            self._urgent = self._urgent or urgent or len(self._waiting) >= BATCH_OPERATIONS
        self._begin()
        return self._tickets

    @property
    def busy(self) -> bool:
        """Whether a batch is with the thread, so that what is submitted now has to wait (``bool``)."""
        return self._busy

    @property
    def ready(self) -> bool:
        """Whether there is something in :meth:`completed` that :meth:`submit` has done at once (``bool``)."""
        return bool(self._done)

    def _begin(self) -> None:
        """Take the next batch as far as it can go without waiting, and the thread does the rest."""
        with self._lock:
            if self._busy or self._handed or not self._urgent:
                return
            if (
                self._halted is not None
                or self._waiting_operations > _AT_ONCE_OPERATIONS
                or self._waiting_bytes > _AT_ONCE_BYTES
            ):
                self._handed = True
                self._notices.put(None)
                return
            batch = self._take()
        try:
            prepared = self._journal.prepare([entry[1] for entry in batch], patient=False)
            if prepared is not None and self._finishes(prepared):
                self._settle(batch, self._complete(prepared))
                return
        except StorageError as error:
            self._fail(batch, error)
            return
        with self._lock:
            if prepared is None:
                self._waiting.extendleft(reversed(batch))
                self._waiting_operations += sum(len(entry[1]) for entry in batch)
                self._waiting_bytes += sum(entry[2] for entry in batch)
                self._busy = False
                self._urgent = self._handed = True
            else:
                self._prepared = (batch, prepared)
            self._notices.put(None)

    def _finishes(self, prepared: Prepared) -> bool:
        """Whether the caller's thread may commit this by itself: nothing of it waits for long."""
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
        taken = monotonic() - began
        # A slow one counts at once, and is forgotten slowly.
        self._commit_s = max(taken, self._commit_s + (taken - self._commit_s) / 8)
        return outcomes

    def flush(self) -> None:
        """Commit what lingers now."""
        with self._lock:
            if self._waiting:
                self._urgent = self._handed = True
                self._notices.put(None)

    def completed(self) -> list[Completion]:
        """What became of groups since the last call, in order of tickets; does not wait.

        What has gathered meanwhile is begun. Raises whatever killed the thread, should it have a bug.
        """
        with self._lock:
            if self._crash is not None:
                raise self._crash
            done = list(self._done)
            self._done.clear()
            if not (self._busy or self._waiting):
                self._halted = None
        self._begin()
        return done

    @property
    def pending(self) -> int:
        """Groups that were submitted and are not yet in :meth:`completed`, those under way left out."""
        return len(self._waiting)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Commit what was submitted, then end the thread. Completions stay to be collected.

        Raises :class:`~waspi.errors.StorageError` when the disk does not come back within ``timeout_s`` seconds.
        """
        with self._lock:
            self._stopping = True
            self._notices.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise StorageError(f"the journal's last commit took longer than {timeout_s:g} s; check the disk")

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the loop's thread, which raises it
            with self._lock:
                self._crash = error
            self._wake()

    def _next_batch(self) -> _Batch | None:
        lingered = False
        while True:
            with self._lock:
                if self._prepared is not None:
                    return self._prepared[0]
                if not self._busy:
                    if self._waiting and (self._handed or self._stopping or (lingered and not self._urgent)):
                        return self._take()
                    if self._stopping:
                        return None
                lingers = bool(self._waiting) and not (self._busy or self._urgent)
            try:
                self._notices.get(timeout=self._linger_s if lingers else None)
                lingered = False
            except Empty:
                lingered = True

    def _take(self) -> _Batch:
        if self._waiting_operations <= BATCH_OPERATIONS and self._waiting_bytes <= BATCH_BYTES:
            batch = list(self._waiting)
            self._waiting.clear()
            self._waiting_operations = self._waiting_bytes = 0
        else:
            batch = []
            operations = size = 0
            while self._waiting and operations < BATCH_OPERATIONS and size < BATCH_BYTES:
                entry = self._waiting.popleft()
                batch.append(entry)
                operations += len(entry[1])
                size += entry[2]
            self._waiting_operations -= operations
            self._waiting_bytes -= size
        self._pages += _PAGES * len(batch) + sum([entry[2] for entry in batch]) // PAGE_SIZE
        self._busy = True
        self._urgent = bool(self._waiting)  # what is left has waited long enough
        self._handed = False
        return batch

    def _commit(self, batch: _Batch) -> None:
        if self._halted is not None:  # nobody clears it while a batch is under way
            self._fail(batch, self._halted)
        else:
            prepared, self._prepared = self._prepared, None
            try:
                if prepared is None:
                    outcomes = self._journal.commit([entry[1] for entry in batch])
                else:
                    outcomes = self._complete(prepared[1])
            except StorageError as error:
                self._fail(batch, error)
            else:
                self._settle(batch, outcomes, checkpoint=self._checkpoint)
                if self._checkpoint:
                    self._wake()
                    self._journal.checkpoint()
                    with self._lock:
                        self._checkpoint = self._busy = False
        self._wake()

    def _settle(self, batch: _Batch, outcomes: list[Outcome], *, checkpoint: bool = False) -> None:
        """Tell what became of a batch; the journal is not free before a ``checkpoint`` that follows is done."""
        with self._lock:
            self._done.extend(
                [
                    Failed(entry[0], outcome)
                    if isinstance(outcome, IllegalTransitionError)
                    else Committed(entry[0], outcome)
                    for entry, outcome in zip(batch, outcomes, strict=True)
                ]
            )
            self._busy = checkpoint

    def _fail(self, batch: _Batch, error: StorageError) -> None:
        with self._lock:
            self._halted = error
            self._done.extend(Failed(entry[0], error) for entry in (*batch, *self._waiting))
            self._waiting.clear()
            self._waiting_operations = self._waiting_bytes = 0
            self._urgent = False
            self._busy = False


_Entry: TypeAlias = tuple[int, Sequence[Operation], int]
"""Ticket, group, and bytes of its bodies and results."""
_Batch: TypeAlias = list[_Entry]
