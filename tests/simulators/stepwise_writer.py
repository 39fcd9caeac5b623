"""The journal's writer without its thread: it commits when the test says so, or refuses to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.journal import Journal
from waspi.journal.operations import Operation
from waspi.journal.writer import Committed, Completion, Failed


class StepwiseWriter:
    """Same calls and same promises as :class:`waspi.journal.writer.Writer`.

    ``at_once``: commit within each submission, as the real one does without durability; then :meth:`commit` has
    nothing to do, and can make the disk refuse the next submission.
    """

    busy = False

    def __init__(self, journal: Journal, wake: Callable[[], None], *, at_once: bool = False) -> None:
        self._journal = journal
        self._wake = wake
        self._at_once = at_once
        self._refuses = False
        self._waiting: deque[tuple[int, Sequence[Operation]]] = deque()
        self._done: deque[Completion] = deque()
        self._tickets = 0
        self._halted: StorageError | None = None
        self._stopped = False
        self.commits = 0
        self.refused: list[IllegalTransitionError] = []
        """What the state table forbade."""

    @property
    def waiting(self) -> int:
        """Groups that are not on the disk."""
        return len(self._waiting)

    def submit_all(self, groups: Sequence[Sequence[Operation]], *, urgent: bool = False) -> int:  # noqa: ARG002 - the port has it
        if self._stopped:
            raise StorageError("the journal is closed; nothing more can be committed")
        for operations in groups:
            self._tickets += 1
            self._waiting.append((self._tickets, operations))
        if self._at_once:
            self._do(1_000_000, refuse=self._refuses)
            self._refuses = False
        return self._tickets

    @property
    def ready(self) -> bool:
        return self._at_once and bool(self._done)

    def commit(self, groups: int = 1_000, *, refuse: bool = False) -> None:
        """Commit up to so many groups in one transaction, or fail as the real one does when the disk refuses."""
        self._refuses = self._at_once and refuse
        if self._waiting:
            self._do(groups, refuse=refuse)
            self._wake()

    def _do(self, groups: int, *, refuse: bool) -> None:
        if refuse or self._halted is not None:
            self._halted = self._halted or StorageError("no space left on the device; make room")
            self._done.extend(Failed(ticket, self._halted) for ticket, _ in self._waiting)
            self._waiting.clear()
            return
        batch = [self._waiting.popleft() for _ in range(min(groups, len(self._waiting)))]
        outcomes = self._journal.commit([operations for _, operations in batch])
        self.commits += 1
        for (ticket, _), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, IllegalTransitionError):
                self.refused.append(outcome)
                self._done.append(Failed(ticket, outcome))
            else:
                self._done.append(Committed(ticket, outcome))

    def completed(self) -> list[Completion]:
        done = list(self._done)
        self._done.clear()
        if not self._waiting:
            self._halted = None
        return done

    def stop(self, timeout_s: float = 30.0) -> None:  # noqa: ARG002 - the port has it
        while self._waiting:
            self.commit()
        self._stopped = True
