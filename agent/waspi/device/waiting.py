"""Jobs that wait for a worker, in order of priority and arrival: the best of them in memory, the others on the disk."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final

from waspi.model.state import JobState

if TYPE_CHECKING:
    from waspi.device.job import Job

HELD: Final = 256
"""Waiting jobs in memory; the others wait on the disk."""
HELD_BYTES: Final = 4 * 1024 * 1024


class Waiting:
    """The order of waiting jobs. A job that ends while it waits stays in it until it is met."""

    def __init__(self, *, more_on_disk: bool) -> None:
        self._heap: list[tuple[int, int, Job]] = []
        self._bytes = 0
        self._arrivals = count()
        self.more_on_disk = more_on_disk
        """Whether jobs may wait that are not in memory."""

    def __bool__(self) -> bool:
        """Whether any may wait."""
        return bool(self._heap) or self.more_on_disk

    @property
    def hungry(self) -> bool:
        """Whether the next one has to be looked for on the disk."""
        return not self._heap and self.more_on_disk

    @property
    def full(self) -> bool:
        """Whether there are more in memory than there should be."""
        return len(self._heap) > HELD or self._bytes > HELD_BYTES

    def best(self) -> Job | None:
        """The next one to start of those in memory."""
        while self._heap:
            job = self._heap[0][2]
            if job.state is JobState.QUEUED:
                return job
            self.take()
        return None

    def take(self) -> Job:
        """Take out the one that :meth:`best` has told."""
        job = heapq.heappop(self._heap)[2]
        self._bytes -= job.size
        return job

    def goes_behind(self, priority: int) -> bool:
        """Whether a job of this priority has to wait behind some that are on the disk only (``bool``)."""
        return self.more_on_disk and not (self._heap and priority > min(-each[0] for each in self._heap))

    def add(self, job: Job) -> None:
        """One more waits."""
        heapq.heappush(self._heap, (-job.priority, next(self._arrivals), job))
        self._bytes += job.size

    def empty(self) -> list[Job]:
        """Leave all of them to the disk; those that were in memory, in order. The best come back from there."""
        jobs = [entry[2] for entry in sorted(self._heap)]
        self._heap.clear()
        self._bytes = 0
        self.more_on_disk = True
        return jobs
