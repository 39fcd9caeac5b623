"""What can be done to the journal. A *group* of operations is atomic; many groups share one commit.

Every change of a job's state goes through the table in :mod:`waspi.model.state`. An operation that the table forbids
(or that names a job the journal does not have) fails its group with
:class:`~waspi.errors.IllegalTransitionError` and leaves everything as it was; the other groups of the batch are done.
"""

from __future__ import annotations

from typing import ClassVar

from waspi.journal.rows import JobRow, OutboxEntry
from waspi.model.state import JobState
from waspi.model.value import value


@value
class Receive:
    """Take a job in. Only after the commit may its message be acknowledged.

    ``row.state`` is ``QUEUED`` (``attempt`` 0), or ``IN_PROGRESS`` (``attempt`` 1) for a job that a free worker gets as
    soon as the commit is done: receipt and start then share one fsync. An id that is in the journal already is illegal;
    look it up first. A job that is refused but remembered is ``Receive`` and ``Finish(REJECTED)`` in one group.
    """

    urgent: ClassVar[bool] = True
    row: JobRow

    @property
    def bytes_kept(self) -> int:
        """Bytes that it brings into the journal, its strings left out."""
        return len(self.row.body)


@value
class Start:
    """``QUEUED -> IN_PROGRESS``. Only after the commit may a worker get the job (at most once)."""

    urgent: ClassVar[bool] = True
    bytes_kept: ClassVar[int] = 0
    job_id: str
    attempt: int
    """The row's ``attempt`` + 1; anything else is illegal."""


@value
class Finish:
    """Final state, result and outbox message in one transaction; the body is dropped."""

    urgent: ClassVar[bool] = True
    job_id: str
    state: JobState
    """A final state."""
    result: bytes
    """Kept for duplicates. Stored once when ``entry.payload`` is the same bytes."""
    entry: OutboxEntry | None
    """What to publish; ``None`` when nobody is to be told."""

    @property
    def bytes_kept(self) -> int:
        """Bytes that it brings into the journal, its strings left out."""
        return len(self.result)


@value
class Requeue:
    """``IN_PROGRESS -> QUEUED`` for an idempotent job that was interrupted; the next start raises ``attempt``."""

    urgent: ClassVar[bool] = True
    bytes_kept: ClassVar[int] = 0
    job_id: str


@value
class Deliver:
    """A message without a change of state: a stored result again, the refusal of what never became a job."""

    urgent: ClassVar[bool] = True
    bytes_kept: ClassVar[int] = 0
    entry: OutboxEntry


@value
class Sent:
    """The broker took the message (a *successful* PUBACK): its row goes. An unknown id is no error.

    Not urgent: when power goes before the commit, the message is published again, which QoS 1 allows anyway.
    """

    urgent: ClassVar[bool] = False
    bytes_kept: ClassVar[int] = 0
    outbox_id: int
    settles_delivery: bool = False
    """The broker has surely seen the acknowledgement of the job's own message, because it has answered something that
    was sent after it: the packet identifier of that message may now come again with another message."""


@value
class ForgetDeliveries:
    """The broker has a new session (``session_present`` 0): packet identifiers of the old one mean nothing any more."""

    urgent: ClassVar[bool] = True
    bytes_kept: ClassVar[int] = 0


@value
class Prune:
    """Drop what retention no longer asks for, at most ``limit`` rows, so that no commit takes long.

    The journal prunes by count on its own as jobs come in; submit this now and then for what is due by age.
    """

    urgent: ClassVar[bool] = False
    bytes_kept: ClassVar[int] = 0
    now: float
    limit: int = 256


Operation = Receive | Start | Finish | Requeue | Deliver | Sent | ForgetDeliveries | Prune
