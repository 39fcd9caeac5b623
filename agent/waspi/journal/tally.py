"""Running totals of the journal, kept beside the tables so that no question of quota needs a query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from waspi.journal.counters import Counters
from waspi.journal.quotas import Usage
from waspi.journal.schema import FINISHED_COLUMNS, STATE_CODES
from waspi.model.state import JobState

if TYPE_CHECKING:
    import sqlite3


def _no_finished() -> dict[JobState, int]:
    return dict.fromkeys(FINISHED_COLUMNS, 0)


@dataclass(slots=True)
class Tally:
    """What the tables hold. A transaction works on a copy, which takes the old one's place when it is committed."""

    boots: int = 0
    next_seq: int = 1
    next_outbox: int = 1
    received: int = 0
    finished: dict[JobState, int] = field(default_factory=_no_finished)
    jobs: int = 0
    open: int = 0
    """Jobs that are not final."""
    inbox_bytes: int = 0
    outbox_messages: int = 0
    outbox_bytes: int = 0
    result_bytes: int = 0
    job_cursor: int = 0
    """``seq`` up to which retention has looked at jobs."""
    result_cursor: int = 0
    """``seq`` up to which retention has looked at results."""
    messages: dict[int, tuple[int, int | None]] = field(default_factory=dict, compare=False)
    """Size and ``seq`` of the job of messages that this process has put into the outbox, a bounded number of them."""

    def copy(self) -> Tally:
        """An independent copy."""
        # Once per commit; dataclasses.replace takes ten times as long.
        other = Tally(*(getattr(self, name) for name in self.__slots__))
        other.finished = dict(self.finished)
        other.messages = dict(self.messages)
        return other

    def usage(self) -> Usage:
        """How full the journal is."""
        return Usage(
            jobs=self.jobs,
            open=self.open,
            inbox_bytes=self.inbox_bytes,
            outbox_messages=self.outbox_messages,
            outbox_bytes=self.outbox_bytes,
            result_bytes=self.result_bytes,
        )

    def counters(self) -> Counters:
        """Totals over the life of the device."""
        return Counters(
            boots=self.boots,
            next_seq=self.next_seq,
            next_outbox=self.next_outbox,
            received=self.received,
            **{column: self.finished[state] for state, column in FINISHED_COLUMNS.items()},
        )


def read_meta(connection: sqlite3.Connection) -> Counters:
    """What ``meta`` holds: boots, ids, and the totals of jobs that are forgotten. Raises ``sqlite3.Error``."""
    row = connection.execute(
        "SELECT boots, next_seq, next_outbox, received, succeeded, failed, timed_out, rejected, canceled, expired"
        " FROM meta"
    ).fetchone()
    return Counters(*row)


def count(connection: sqlite3.Connection) -> Tally:
    """Count everything (one pass over the rows, not over their bodies). Raises ``sqlite3.Error``."""
    meta = read_meta(connection)
    # One SUM per state rather than GROUP BY, which would sort all rows in memory.
    states = ", ".join(f"IFNULL(SUM(state = {code}), 0)" for code in STATE_CODES.values())
    jobs, last, bodies, results, *counts = connection.execute(
        f"SELECT COUNT(*), IFNULL(MAX(seq), 0), IFNULL(SUM(LENGTH(body)), 0), IFNULL(SUM(LENGTH(result)), 0), {states}"  # noqa: S608 - codes
        " FROM job"
    ).fetchone()
    by_state = dict(zip(STATE_CODES, counts, strict=True))
    messages, size, last_message = connection.execute(
        "SELECT COUNT(*), IFNULL(SUM(size), 0), IFNULL(MAX(id), 0) FROM outbox"
    ).fetchone()
    return Tally(
        boots=meta.boots,
        next_seq=max(meta.next_seq, last + 1),
        next_outbox=max(meta.next_outbox, last_message + 1),
        received=meta.received + jobs,
        finished={state: getattr(meta, column) + by_state[state] for state, column in FINISHED_COLUMNS.items()},
        jobs=jobs,
        open=by_state[JobState.QUEUED],
        inbox_bytes=bodies,
        outbox_messages=messages,
        outbox_bytes=size,
        result_bytes=results,
    )
