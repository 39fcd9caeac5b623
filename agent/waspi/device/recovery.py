"""What an earlier life of the agent left: jobs that were running, and modules that waiting jobs need."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from waspi.errors import InterruptedJobError
from waspi.journal.operations import Requeue
from waspi.model.state import JobState

if TYPE_CHECKING:
    from waspi.device.job_end import JobEnd
    from waspi.device.ledger import Effect, Ledger
    from waspi.journal.reader import Reader
    from waspi.journal.start_record import StartRecord
    from waspi.sandbox.cache import ModuleCache

_ATTEMPTS = 5
"""Starts of an idempotent job, at most: one that takes the device down each time must not do so for ever."""

_log = logging.getLogger(__name__)


def recover(
    reader: Reader, starts: StartRecord, cache: ModuleCache, ledger: Ledger, ends: JobEnd, requeued: Effect
) -> None:
    """Settle what was running when the device went down; ``requeued`` is called for each job that waits once more."""
    for row in reader.interrupted():
        cache.pin(row.digest)
        fresh = starts.never_started(row.id)
        if fresh or (row.idempotent and row.attempt < _ATTEMPTS):
            _log.warning("job %s was interrupted%s and runs again", row.id, " before it began" if fresh else "")
            ledger.enter([Requeue(row.id)], requeued)
        else:
            _log.warning("job %s was interrupted and is not run again", row.id)
            often = f"{row.attempt} times in a row" if row.idempotent else "and it is not marked idempotent"
            ends.fail(row, JobState.FAILED, InterruptedJobError(f"the device went down while the job ran, {often}"))
    before: int | None = None
    while rows := reader.recent(1000, states=(JobState.QUEUED,), before_seq=before):
        before = rows[-1].seq
        for row in rows:
            cache.pin(row.digest)
