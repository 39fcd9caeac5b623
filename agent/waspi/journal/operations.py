"""What can be done to the journal. Each operation is atomic; many share one commit.

On the disk a job is ``QUEUED`` until it is final. An operation that would change a final job, or that names a job the
journal does not have, fails alone, with :class:`~waspi.errors.IllegalTransitionError`, and leaves everything as it was.
"""

from __future__ import annotations

from typing import ClassVar

from waspi.journal.rows import JobRow, OutboxEntry
from waspi.model.value import value


@value
class Receive:
    """Take a job in that does not end soon, or has to wait. After the commit its message may be acknowledged.

    ``row.state`` is ``QUEUED``. An id that is in the journal already is illegal: look it up first.
    """

    urgent: ClassVar[bool] = True
    row: JobRow

    @property
    def bytes_kept(self) -> int:
        """Bytes that it brings into the journal, its strings left out."""
        return len(self.row.body)


@value
class Count:
    """Number the next start of a job that may have run before, ahead of that start."""

    urgent: ClassVar[bool] = True
    bytes_kept: ClassVar[int] = 0
    job_id: str
    attempt: int


@value
class Finish:
    """The end of a job: final state, result and outgoing message.

    A job without a receipt is written whole by this one operation. ``row.state`` is final, ``row.body`` is empty, and
    ``row.result`` is what duplicates are answered with, stored once when ``entry.payload`` is the same bytes.
    """

    urgent: ClassVar[bool] = True
    row: JobRow
    received: bool
    """Whether its :class:`Receive` went before."""
    entry: OutboxEntry | None
    """What to publish; ``None`` when nobody is to be told."""

    @property
    def bytes_kept(self) -> int:
        """Bytes that it brings into the journal, its strings left out."""
        return len(self.row.result or b"")


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
class Replace:
    """The broker can never take a message: another one stands in its place, and is the job's result from now on.

    Nobody has seen the first result, so the job's state changes with it, although it was final: ``row`` holds the new
    state and result. An id that is not in the outbox is illegal.
    """

    urgent: ClassVar[bool] = True
    outbox_id: int
    row: JobRow
    entry: OutboxEntry

    @property
    def bytes_kept(self) -> int:
        """Bytes that it brings into the journal, its strings left out."""
        return len(self.row.result or b"")


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


Operation = Receive | Count | Finish | Sent | Replace | ForgetDeliveries | Prune
