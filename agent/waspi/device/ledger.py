"""Operations on their way to the disk, and the effects that wait for them.

Whatever leaves the device - an acknowledgement, a worker's start, a publish - is an effect of a commit and happens only
after it. When the disk refuses, nothing is given up: the operations are tried again, in order, until it takes them.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence

from waspi.errors import IllegalTransitionError, StorageError
from waspi.mqtt.backoff import Backoff
from waspi.storage.operations import Operation
from waspi.storage.rows import OutboxRow
from waspi.storage.writer import Committed, Writer

Effect = Callable[[tuple[OutboxRow, ...]], None]
"""Called with the outbox rows that the group made, in order."""

_log = logging.getLogger(__name__)


class Ledger:
    """The one way to the journal's writer; its wake-up descriptor belongs into the loop's selector.

    ``on_trouble`` is called with the error when the disk begins to refuse and with ``None`` when it takes again.
    """

    def __init__(self, clock: Callable[[], float], on_trouble: Callable[[StorageError | None], None]) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._clock = clock
        self._on_trouble = on_trouble
        self._writer: Writer | None = None
        self._under_way: dict[int, tuple[Sequence[Operation], Effect | None]] = {}
        self._again: deque[tuple[Sequence[Operation], Effect | None]] = deque()
        self._backoff = Backoff(first=0.5, longest=30.0)
        self._due = 0.0
        self._oldest = 0.0
        self.trouble: StorageError | None = None
        """Why the disk refuses just now."""

    def wake(self) -> None:
        """Tell the loop that something was committed; called by the writer's thread."""
        os.eventfd_write(self.descriptor, 1)

    def attach(self, writer: Writer) -> None:
        """Hand over the writer, which was made with :meth:`wake`."""
        self._writer = writer

    def enter(self, operations: Sequence[Operation], effect: Effect | None = None) -> None:
        """Have a group committed, then ``effect`` called."""
        if self._again:  # nothing overtakes what the disk has refused
            self._again.append((operations, effect))
        else:
            self._submit(operations, effect)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._under_way and not self._again

    def stuck_for(self, now: float) -> float:
        """Seconds for which the oldest group has been with the writer without an answer."""
        return now - self._oldest if self._under_way else 0.0

    def settle(self) -> None:
        """Let out the effects of what is committed; call it when the descriptor is ready."""
        os.eventfd_read(self.descriptor)
        writer = self._writer
        if writer is None:
            return
        effects: list[tuple[Effect, tuple[OutboxRow, ...]]] = []
        failed: list[tuple[Sequence[Operation], Effect | None]] = []
        trouble: StorageError | None = None
        done = writer.completed()
        for completion in done:
            group = self._under_way.pop(completion.ticket)
            if isinstance(completion, Committed):
                if group[1] is not None:
                    effects.append((group[1], completion.outbox_rows))
            elif isinstance(completion.error, IllegalTransitionError):
                _log.error("the journal refuses an operation, which is a bug in waspi: %s", completion.error.message)
            else:
                failed.append(group)
                trouble = completion.error
        self._oldest = self._clock()
        if trouble is not None:
            self._again.extendleft(reversed(failed))
            self._due = self._clock() + self._backoff.next()
        elif self._again:
            self._retry()
        elif done:
            self._backoff.reset()
        if (trouble is None) != (self.trouble is None) and (trouble is not None or not self._again):
            self.trouble = trouble
            self._on_trouble(trouble)
        for effect, rows in effects:
            effect(rows)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        return self._due if self._again and not self._under_way else None

    def tick(self, now: float) -> None:
        """Try again what the disk has refused, if it is time."""
        if self._again and not self._under_way and now >= self._due:
            self._retry()

    def close(self) -> None:
        """Commit what was entered and stop the writer."""
        if self._writer is not None:
            self._writer.stop()
            os.eventfd_write(self.descriptor, 1)
            self.settle()
            self._writer = None
        os.close(self.descriptor)

    def _retry(self) -> None:
        """The first group alone; the others follow when it went well."""
        if self.trouble is not None:
            self._submit(*self._again.popleft())
            return
        while self._again:
            self._submit(*self._again.popleft())

    def _submit(self, operations: Sequence[Operation], effect: Effect | None) -> None:
        if self._writer is None:
            raise StorageError("the journal is not open")
        if not self._under_way:
            self._oldest = self._clock()
        self._under_way[self._writer.submit(operations)] = (operations, effect)
