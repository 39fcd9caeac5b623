"""Jobs that wait for a worker: the best of them in memory, all of them on the disk."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from itertools import count

from waspi.journal.reader import Reader
from waspi.journal.rows import JobRow

_HELD = 256
"""Queued jobs kept in memory with their bodies; the others wait on the disk."""
_HELD_BYTES = 4 * 1024 * 1024
_LOADED = 64
"""Queued jobs read from the disk at once."""


class WaitingJobs:
    """In order of priority and arrival; bounded in memory by reading from the disk what did not fit."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ready: list[tuple[int, int, JobRow]] = []
        self._bytes = 0
        self._arrivals = count()
        self._more_on_disk = True

    def __bool__(self) -> bool:
        """Whether any may wait."""
        return bool(self._ready) or self._more_on_disk

    def look_at_disk(self) -> None:
        """One may wait there that a load in between has left out."""
        self._more_on_disk = True

    def best(self, busy: Callable[[], Collection[str]]) -> JobRow | None:
        """The next one to start; ``busy`` tells ids that an operation is under way for, passed over on the disk."""
        if not self._ready and self._more_on_disk:
            self._load(busy())
        return self._ready[0][2] if self._ready else None

    def take_best(self) -> None:
        """The one that :meth:`best` has told waits no longer."""
        self._bytes -= len(heapq.heappop(self._ready)[2].body)

    def hold(self, row: JobRow) -> None:
        """One more waits, and is on the disk."""
        ahead = self._more_on_disk and self._ready and row.priority > min(-each[0] for each in self._ready)
        room = len(self._ready) < _HELD and self._bytes + len(row.body) <= _HELD_BYTES
        if ahead and not room:
            self._ready.clear()  # the best come back with the next load
            self._bytes = 0
        elif ahead or (not self._more_on_disk and room):
            self._push(row)
        else:
            self._more_on_disk = True

    def drop(self, job_id: str) -> None:
        """That one waits no longer."""
        kept = [each for each in self._ready if each[2].id != job_id]
        if len(kept) != len(self._ready):
            self._ready = kept
            heapq.heapify(self._ready)
            self._bytes = sum(len(each[2].body) for each in kept)

    def _load(self, without: Collection[str]) -> None:
        rows = self._reader.queued(_LOADED, without=without, max_bytes=_HELD_BYTES)
        for row in rows:
            self._push(row)
        self._more_on_disk = len(rows) == _LOADED or self._bytes >= _HELD_BYTES

    def _push(self, row: JobRow) -> None:
        heapq.heappush(self._ready, (-row.priority, next(self._arrivals), row))
        self._bytes += len(row.body)
