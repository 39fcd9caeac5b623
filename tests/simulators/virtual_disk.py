"""The thread that waits for the journal's disk, without the thread: it commits when the test says so, or refuses to."""

from __future__ import annotations

import os
from collections.abc import Sequence

from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.journal import Journal, Outcome, Prepared
from waspi.journal.operations import Operation


class VirtualDisk:
    """Same calls as :class:`waspi.journal.writer.CommitThread`, on the real journal."""

    commit_s = 1.0
    """Never so fast that the loop's thread would wait for it."""

    def __init__(self, journal: Journal) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.refuses = False
        """Whether the next commit fails, whoever does it."""
        self.commits = 0
        self.illegal: list[IllegalTransitionError] = []
        """What the state table forbade."""
        self._journal = journal
        self._work: Prepared | Sequence[Operation] | None = None
        self._result: list[Outcome] | StorageError | None = None
        self._complete = journal.complete
        journal.complete = self._watched  # type: ignore[method-assign]

    @property
    def busy(self) -> bool:
        """Whether something waits for :meth:`commit`."""
        return self._work is not None

    def begin(self, work: Prepared | Sequence[Operation], *, checkpoint: bool = False) -> None:  # noqa: ARG002 - the port
        assert self._work is None, "the journal is the thread's"
        self._work = work

    def result(self) -> list[Outcome] | StorageError | None:
        result, self._result = self._result, None
        return result

    def commit(self, *, refuse: bool = False) -> bool:
        """Do what waits; whether there was something. With ``refuse`` this commit or else the next one fails."""
        self.refuses = self.refuses or refuse
        work, self._work = self._work, None
        if work is None:
            return False
        try:
            self._result = self._journal.complete(work) if isinstance(work, Prepared) else self._journal.commit(work)
        except StorageError as error:
            self._result = error
        os.eventfd_write(self.descriptor, 1)
        return True

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 - the port has it
        self.commit()

    def drop(self) -> None:
        """The power goes: what was not committed never was."""
        os.close(self.descriptor)

    def _watched(self, prepared: Prepared) -> list[Outcome]:
        if self.refuses:
            self.refuses = False
            self._journal._roll_back()
            raise StorageError("no space left on the device; make room")
        outcomes = self._complete(prepared)
        self.commits += 1
        self.illegal += [each for each in outcomes if isinstance(each, IllegalTransitionError)]
        return outcomes
