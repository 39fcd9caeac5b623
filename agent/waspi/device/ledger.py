"""Operations on their way to the disk, and the effects that wait for them.

Whatever leaves the device - an acknowledgement, a worker's start, a publish - is an effect of a commit and happens only
after it. When the disk refuses, nothing is given up: the operations are tried again, in order, until it takes them.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from waspi.errors import StorageError
from waspi.journal.operations import Operation
from waspi.journal.rows import OutboxRow
from waspi.journal.writer import Committed, Writer
from waspi.mqtt.backoff import Backoff

Effect = Callable[[tuple[OutboxRow, ...]], None]
"""Called with the outbox rows that the group made, in order."""


_Group: TypeAlias = tuple[Sequence[Operation], Effect | None, Callable[[], object] | None]
"""Operations, effect, and what is called instead of it when the journal's state table forbids the group."""


_LINGER_S: Final = 0.2
"""Seconds that what is not urgent waits for something urgent to share a commit with."""

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
        self._gathered: list[_Group] = []
        self._urgent = False
        self._linger_until = 0.0
        self._under_way: dict[int, _Group] = {}
        self._again: deque[_Group] = deque()
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

    def enter(
        self,
        operations: Sequence[Operation],
        effect: Effect | None = None,
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        """Have a group committed, then ``effect`` called; ``otherwise`` where the journal finds it illegal.

        It leaves with the next :meth:`flush`, which the loop calls once in each round: one handover for all groups.
        """
        if not self._gathered:
            self._linger_until = self._clock() + _LINGER_S
        if not self._urgent:
            self._urgent = any(operation.urgent for operation in operations)
        self._gathered.append((operations, effect, otherwise))

    def flush(self) -> bool:
        """Hand what was entered to the writer, unless that has to wait; whether effects were let out at once."""
        writer = self._writer
        if writer is None:
            return False
        if self._gathered and not writer.busy and (self._urgent or self._clock() >= self._linger_until):
            self._hand_over()
        if not writer.ready:
            return False
        self._collect(writer)
        return True

    def _hand_over(self) -> None:
        groups, self._gathered = self._gathered, []
        self._urgent = False
        if self._again:  # nothing overtakes what the disk has refused
            self._again.extend(groups)
        else:
            self._submit(groups)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._under_way and not self._again and not self._gathered

    def stuck_for(self, now: float) -> float:
        """Seconds for which the oldest group has been with the writer without an answer."""
        return now - self._oldest if self._under_way else 0.0

    def settle(self) -> None:
        """Let out the effects of what is committed; call it when the descriptor is ready."""
        os.eventfd_read(self.descriptor)
        if self._writer is not None:
            self._collect(self._writer)

    def _collect(self, writer: Writer) -> None:
        calls: list[tuple[Callable[..., object], tuple[tuple[OutboxRow, ...], ...]]] = []
        failed: list[_Group] = []
        trouble: StorageError | None = None
        done = writer.completed()
        for completion in done:
            group = self._under_way.pop(completion.ticket)
            if isinstance(completion, Committed):
                if group[1] is not None:
                    calls.append((group[1], (completion.outbox_rows,)))
            elif isinstance(completion.error, StorageError):
                failed.append(group)
                trouble = completion.error
            elif group[2] is not None:
                calls.append((group[2], ()))
            else:
                _log.error("the journal refuses an operation, a bug in waspi: %s", completion.error.message)
        self._oldest = self._clock()
        if done:
            self._judge(trouble, failed)
        for call, arguments in calls:
            call(*arguments)

    def _judge(self, trouble: StorageError | None, failed: list[_Group]) -> None:
        if trouble is not None:
            self._again.extendleft(reversed(failed))
            self._due = self._clock() + self._backoff.next()
        else:
            self._backoff.reset()
        before, self.trouble = self.trouble, trouble
        if (before is None) is not (trouble is None):
            self._on_trouble(trouble)
        if trouble is None and self._again:
            self._retry()

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        writer = self._writer
        if writer is not None and writer.ready:
            return 0.0  # by what was let out at the end of a round
        if writer is not None and self._gathered and not writer.busy:
            return 0.0 if self._urgent else self._linger_until
        return self._due if self._again and not self._under_way else None

    def tick(self, now: float) -> None:
        """Try again what the disk has refused, if it is time."""
        if self._again and not self._under_way and now >= self._due:
            self._retry()

    def close(self) -> None:
        """Commit what was entered and stop the writer.

        Effects that still wait are dropped: neither broker nor workers are there any more, and the next start finds
        all of it on the disk.
        """
        if self._writer is not None:
            if self._gathered:
                self._hand_over()
            self._writer.stop()
            self._writer = None
        os.close(self.descriptor)

    def _retry(self) -> None:
        """The first group alone; the others follow when it went well."""
        if self.trouble is not None:
            self._submit([self._again.popleft()])
            return
        groups = list(self._again)
        self._again.clear()
        self._submit(groups)

    def _submit(self, groups: Sequence[_Group]) -> None:
        if self._writer is None:
            raise StorageError("the journal is not open")
        if not self._under_way:
            self._oldest = self._clock()
        last = self._writer.submit_all([group[0] for group in groups], urgent=True)
        for ticket, group in enumerate(groups, last - len(groups) + 1):
            self._under_way[ticket] = group
