"""How much the journal may hold, and what happens at the brim.

The policy: **a result is never dropped before it was delivered, and a job is never acknowledged that cannot be kept.**

1. The outbox reaches its quota (the broker is away, or slower than we are): nothing new is *started*. What is queued
   stays queued, new jobs are still taken in. The outbox can pass its quota only by the results of the jobs that were
   running then.
2. The inbox (what is queued or running) or the number of remembered jobs reaches its quota: new jobs are *refused* with
   ``queue-full``, so that their publishers know, and other messages (``cancel``) still come through.
3. The refusals themselves have filled the reserve of the outbox: new jobs are *held*: not journaled, not acknowledged.
   The broker keeps them and Receive Maximum stops it from sending more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from waspi.model.value import value

MIB = 1024 * 1024


UNDER_WAY_BYTES = 16 * MIB
"""Results that may wait in memory for a disk that is slower than the workers."""


class Admission(Enum):
    """What to do with a job that has just come in."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    """Answer ``queue-full`` (:class:`~waspi.errors.QueueFullError`) and acknowledge."""
    HOLD = "hold"
    """Do not acknowledge; look again when the outbox has drained."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Bounds of the journal. Bytes are payload bytes; the file is bounded to about twice their sum."""

    inbox_jobs: int = 20_000
    """Jobs queued or running."""
    inbox_bytes: int = 64 * MIB
    """Their bodies together."""
    outbox_messages: int = 50_000
    outbox_bytes: int = 64 * MIB
    """Messages that the broker has not taken yet."""
    refusal_bytes: int = 1 * MIB
    """Reserve of the outbox, beyond its quota, for telling publishers that the queue is full."""
    result_bytes: int = 32 * MIB
    """Delivered results kept to answer duplicates; the oldest go first, their jobs stay known without the result."""
    jobs: int = 100_000
    """Jobs remembered in all, so that a duplicate is known. Beyond it the oldest final, delivered, expired ones go."""
    keep_jobs: int = 1_000
    """Jobs remembered whatever their age: a clock that jumps forward must not empty the memory."""
    retention_s: float = 7 * 86_400.0
    """Seconds after which a final, delivered job is forgotten."""
    horizon_s: float = 7 * 86_400.0
    """Seconds that a job with an expiry is protected at most; should be the longest expiry that the device accepts,
    and no less than the MQTT session's expiry."""
    margin_s: float = 3_600.0
    """Seconds that a job is remembered beyond its expiry: the publisher's clock and ours differ."""

    @property
    def file_bytes(self) -> int:
        """Hard bound of the database file in bytes, a last resort (SQLite ``max_page_count``)."""
        payload = self.inbox_bytes + self.outbox_bytes + self.refusal_bytes + self.result_bytes
        return 2 * payload + 1024 * (self.jobs + self.outbox_messages) + 16 * MIB


@value
class Usage:
    """How full the journal is, as of the last commit."""

    jobs: int
    """Rows of jobs, final ones included."""
    open: int
    """Jobs that are not final."""
    inbox_bytes: int
    outbox_messages: int
    outbox_bytes: int
    result_bytes: int


class Fill(Protocol):
    """What the decisions look at: a :class:`Usage`, or the journal's own running totals."""

    @property
    def jobs(self) -> int: ...  # noqa: D102 - as in Usage, all of them
    @property
    def open(self) -> int: ...  # noqa: D102
    @property
    def inbox_bytes(self) -> int: ...  # noqa: D102
    @property
    def outbox_messages(self) -> int: ...  # noqa: D102
    @property
    def outbox_bytes(self) -> int: ...  # noqa: D102


def may_start(usage: Fill, quotas: Quotas, under_way_bytes: int) -> bool:
    """Whether the outbox has room beside results that are on their way into it, so that a job may start (``bool``)."""
    if under_way_bytes >= UNDER_WAY_BYTES or usage.outbox_messages >= quotas.outbox_messages:
        return False
    return usage.outbox_bytes + under_way_bytes < quotas.outbox_bytes


def admission(usage: Fill, quotas: Quotas, jobs: int, body_bytes: int) -> Admission:
    """What to do with a new job: ``jobs`` and ``body_bytes`` are it and those that the disk does not have yet."""
    if (
        usage.open + jobs <= quotas.inbox_jobs
        and usage.inbox_bytes + body_bytes <= quotas.inbox_bytes
        and usage.jobs < quotas.jobs + quotas.jobs // 10
    ):
        return Admission.ACCEPT
    # The count is bounded as well: refusals are small, and rows cost more than their bytes.
    full = usage.outbox_bytes >= quotas.outbox_bytes + quotas.refusal_bytes
    return Admission.HOLD if full or usage.outbox_messages >= 2 * quotas.outbox_messages else Admission.REFUSE
