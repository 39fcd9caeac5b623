"""The thread that commits. While one batch is on its way to the disk, the next one gathers (group commit)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from waspi.errors import IllegalTransitionError, StorageError
from waspi.storage.journal import Journal
from waspi.storage.operations import Operation, Receive
from waspi.storage.rows import OutboxRow

BATCH_OPERATIONS: Final = 1024
"""Operations in one commit at most: no message waits for an endless batch."""

BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of bodies and results in one commit at most (the batch that passes it is the last one)."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The group is on the disk: its effects may be let out."""

    ticket: int
    outbox_rows: tuple[OutboxRow, ...]
    """Messages that the group put into the outbox, in order, with their ids."""


@dataclass(frozen=True, slots=True)
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

    def __init__(self, journal: Journal, wake: Callable[[], None], *, linger_s: float = 0.2) -> None:
        """Start the thread.

        ``wake`` is called on the writer's thread whenever there is something in :meth:`completed`; it must not block.
        ``linger_s``: seconds that a group without ``urgent`` operations waits for others to share an fsync with.
        """
        self._journal = journal
        self._wake = wake
        self._linger_s = linger_s
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[int, Sequence[Operation]]] = deque()
        self._done: deque[Completion] = deque()
        self._tickets = 0
        self._urgent = False
        self._halted: StorageError | None = None
        self._busy = False
        self._stopping = False
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, operations: Sequence[Operation]) -> int:
        """Have the group committed; its ticket (``int``, rising), to be found again in :meth:`completed`.

        Raises :class:`~waspi.errors.StorageError` after :meth:`stop`.
        """
        return self.submit_all([operations])

    def submit_all(self, groups: Sequence[Sequence[Operation]]) -> int:
        """Have several groups committed; the last one's ticket, the others' are the numbers before it.

        Wakes the thread once. Raises :class:`~waspi.errors.StorageError` after :meth:`stop`.
        """
        urgent = any(operation.urgent for group in groups for operation in group)
        with self._changed:
            if self._stopping:
                raise StorageError("the journal is closed; nothing more can be committed")
            before = len(self._waiting)
            for group in groups:
                self._tickets += 1
                self._waiting.append((self._tickets, group))
            if urgent and not self._urgent:
                self._urgent = True
                self._changed.notify()
            elif not before or before < BATCH_OPERATIONS <= len(self._waiting):
                self._changed.notify()
            return self._tickets

    def flush(self) -> None:
        """Commit what lingers now."""
        with self._changed:
            if self._waiting:
                self._urgent = True
                self._changed.notify()

    def completed(self) -> list[Completion]:
        """What became of groups since the last call, in order of tickets; does not wait.

        Raises whatever killed the thread, should it have a bug.
        """
        with self._changed:
            if self._crash is not None:
                raise self._crash
            done = list(self._done)
            self._done.clear()
            if not (self._busy or self._waiting):
                self._halted = None
            return done

    @property
    def pending(self) -> int:
        """Groups that were submitted and are not yet in :meth:`completed`, those under way left out."""
        return len(self._waiting)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Commit what was submitted, then end the thread. Completions stay to be collected.

        Raises :class:`~waspi.errors.StorageError` when the disk does not come back within ``timeout_s`` seconds.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise StorageError(f"the journal's last commit took longer than {timeout_s:g} s; check the disk")

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the loop's thread, which raises it
            with self._changed:
                self._crash = error
            self._wake()

    def _next_batch(self) -> list[tuple[int, Sequence[Operation]]] | None:
        with self._changed:
            while not (self._urgent or self._stopping):
                if not self._waiting:
                    self._changed.wait()
                elif len(self._waiting) >= BATCH_OPERATIONS or not self._changed.wait(self._linger_s):
                    break
            if not self._waiting:
                self._urgent = False
                return None if self._stopping else []
            batch: list[tuple[int, Sequence[Operation]]] = []
            operations = size = 0
            while self._waiting and operations < BATCH_OPERATIONS and size < BATCH_BYTES:
                ticket, group = self._waiting.popleft()
                batch.append((ticket, group))
                operations += len(group)
                size += sum(_size(operation) for operation in group)
            self._busy = True
            self._urgent = bool(self._waiting)  # what is left has waited long enough
            return batch

    def _commit(self, batch: list[tuple[int, Sequence[Operation]]]) -> None:
        if not batch:
            return
        completions: list[Completion] = []
        error = self._halted  # only this thread sets it, and nobody clears it while a batch is under way
        if error is None:
            try:
                outcomes = self._journal.commit([group for _, group in batch])
            except StorageError as failure:
                error = failure
            else:
                completions = [
                    Failed(ticket, outcome)
                    if isinstance(outcome, IllegalTransitionError)
                    else Committed(ticket, outcome)
                    for (ticket, _), outcome in zip(batch, outcomes, strict=True)
                ]
        with self._changed:
            if error is not None:
                self._halted = error
                completions = [Failed(ticket, error) for ticket, _ in (*batch, *self._waiting)]
                self._waiting.clear()
                self._urgent = False
            self._done.extend(completions)
            self._busy = False
        self._wake()


def _size(operation: Operation) -> int:
    if isinstance(operation, Receive):
        return len(operation.row.body)
    return len(getattr(operation, "result", b""))
