"""The states of a job and the one table of its transitions (``protocol`` page, after AWS IoT Jobs)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job is in its life. The last six are final and reported once, and again on every duplicate."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """Whether no transition leaves this state (``bool``)."""
        return not TRANSITIONS[self]


TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset(
        {JobState.IN_PROGRESS, JobState.REJECTED, JobState.CANCELED, JobState.EXPIRED, JobState.FAILED}
    ),
    # Back to QUEUED: it had not begun, because the disk did not give its module.
    JobState.IN_PROGRESS: frozenset(
        {JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.TIMED_OUT: frozenset(),
    JobState.REJECTED: frozenset(),
    JobState.CANCELED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
"""Within one life of the agent. A job that was in progress when the device went down waits again in the next one."""
