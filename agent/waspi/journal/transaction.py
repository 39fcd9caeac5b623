"""Operations turned into SQL, inside a transaction that the journal has opened.

Rows of the same kind are gathered and written with one ``executemany`` each; whatever has to see them in the tables
writes them first (:meth:`Transaction.flush`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, ClassVar

from waspi.errors import IllegalTransitionError
from waspi.journal.operations import Count, Finish, ForgetDeliveries, Operation, Prune, Receive, Replace, Sent
from waspi.journal.quotas import Quotas
from waspi.journal.retention import prune
from waspi.journal.rows import JobRow, OutboxEntry, OutboxRow
from waspi.journal.schema import STATE_CODES, STATES
from waspi.journal.tally import Tally
from waspi.model.state import JobState

_INSERT_JOB = """INSERT INTO job (seq, id, state, attempt, priority, plain, delivery, received_at,
 expires_at, body_hash, module, topic, reply_to, correlation, body, result)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_INSERT_MESSAGE = """INSERT INTO outbox (id, job, size, job_id, topic, correlation, content_type,
 properties, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_COUNT_START = "UPDATE job SET attempt = ? WHERE seq = ?"
_FINISH_JOB = "UPDATE job SET state = ?, attempt = ?, body = x'', result = ? WHERE seq = ?"
_SETTLE_DELIVERY = "UPDATE job SET delivery = NULL WHERE seq = ?"
_DELETE_MESSAGE = "DELETE FROM outbox WHERE id = ?"

_MESSAGES = 256
"""Messages of the outbox whose size is remembered; others are looked up when they are sent."""

MESSAGE_OVERHEAD = 64
"""Bytes that a message counts for beyond its strings, so that empty ones are not free."""


class Transaction:
    """Applies operations one after the other and keeps the tally. Raises ``sqlite3.Error`` where SQLite does."""

    def __init__(self, connection: sqlite3.Connection, tally: Tally, quotas: Quotas) -> None:
        """``tally`` is changed in place; it is the caller's to take over or to drop."""
        self.tally = tally
        self._connection = connection
        self._quotas = quotas
        self._received = 0
        self._now = 0.0
        self._jobs: list[tuple[object, ...]] = []
        self._counts: list[tuple[object, ...]] = []
        self._ends: list[tuple[object, ...]] = []
        self._messages: list[tuple[object, ...]] = []
        self._settled: list[tuple[int | None]] = []
        self._gone: list[tuple[int]] = []

    def flush(self) -> None:
        """Write the rows that were gathered. Raises ``IllegalTransitionError`` for an id that is known already."""
        connection = self._connection
        if self._jobs:
            rows, self._jobs = self._jobs, []
            try:
                connection.executemany(_INSERT_JOB, rows)
            except sqlite3.IntegrityError as error:
                raise IllegalTransitionError(f"job {rows[-1][1]} cannot be received: {error}") from error
        for statement, gathered in (
            (_COUNT_START, self._counts),
            (_FINISH_JOB, self._ends),
            (_INSERT_MESSAGE, self._messages),
            (_SETTLE_DELIVERY, self._settled),
            (_DELETE_MESSAGE, self._gone),
        ):
            if gathered:
                connection.executemany(statement, gathered)
                gathered.clear()

    def forget(self, tally: Tally) -> None:
        """Drop what was gathered and not written, and go back to that tally."""
        self.tally = tally
        for gathered in (self._jobs, self._counts, self._ends, self._messages, self._settled, self._gone):
            gathered.clear()

    def apply(self, operation: Operation) -> OutboxRow | None:
        """Do it; the outbox row that it made, if any. Raises ``IllegalTransitionError``."""
        return self._KINDS[type(operation)](self, operation)

    def _forget_deliveries(self, _operation: ForgetDeliveries) -> None:
        self.flush()
        self._connection.execute("UPDATE job SET delivery = NULL WHERE delivery IS NOT NULL")

    def _prune(self, operation: Prune) -> None:
        self.flush()
        prune(self._connection, self.tally, self._quotas, now=operation.now, limit=operation.limit, aged=True)

    def make_room(self) -> None:
        """Prune as many jobs as came in, if there are too many: the cost is spread over the jobs that cause it."""
        if self._received:
            self.flush()
            limit = 2 * self._received + 8
            prune(self._connection, self.tally, self._quotas, now=self._now, limit=limit, aged=False)

    def _receive(self, operation: Receive) -> None:
        row = operation.row
        if row.state is not JobState.QUEUED:
            raise IllegalTransitionError(f"job {row.id} cannot be received as {row.state}")
        self._insert(row)
        self.tally.open += 1
        self.tally.inbox_bytes += len(row.body)

    def _insert(self, row: JobRow) -> int:
        tally = self.tally
        seq = tally.next_seq
        self._jobs.append(
            (
                seq,
                row.id,
                STATE_CODES[row.state],
                row.attempt,
                row.priority,
                row.plain,
                row.delivery,
                row.received_at,
                row.expires_at,
                row.body_hash,
                row.module,
                row.topic,
                row.reply_to,
                row.correlation,
                row.body,
                row.result,
            )
        )
        tally.next_seq = seq + 1
        tally.received += 1
        tally.jobs += 1
        self._received += 1
        self._now = max(self._now, row.received_at)
        return seq

    def _count(self, operation: Count) -> None:
        seq, state, _ = self._job(operation.job_id)
        if state.final:
            raise IllegalTransitionError(f"job {operation.job_id} is {state} and starts no more")
        self._counts.append((operation.attempt, seq))

    def _finish(self, operation: Finish) -> OutboxRow | None:
        row, tally = operation.row, self.tally
        if not row.state.final:
            raise IllegalTransitionError(f"job {row.id} cannot end as {row.state}")
        result = row.result or b""
        if operation.received:
            seq, state, body_bytes = self._job(row.id)
            if state.final:
                raise IllegalTransitionError(f"job {row.id} is {state} and cannot become {row.state}")
            self._ends.append((STATE_CODES[row.state], row.attempt, result, seq))
            tally.open -= 1
            tally.inbox_bytes -= body_bytes
        else:
            seq = self._insert(row)
        tally.finished[row.state] += 1
        tally.result_bytes += len(result)
        if operation.entry is None:
            return None
        return self._enqueue(operation.entry, seq, shared=operation.entry.payload == result)

    def _enqueue(self, entry: OutboxEntry, seq: int | None, *, shared: bool) -> OutboxRow:
        tally = self.tally
        row = OutboxRow(tally.next_outbox, entry)
        size, properties = _size_of(entry), _properties_of(entry)
        self._messages.append(
            (
                row.id,
                seq,
                size,
                entry.job_id,
                entry.topic,
                entry.correlation,
                entry.content_type,
                properties,
                None if shared else entry.payload,
            )
        )
        tally.next_outbox += 1
        tally.outbox_messages += 1
        tally.outbox_bytes += size
        if len(tally.messages) < _MESSAGES:
            tally.messages[row.id] = (size, seq)
        return row

    def _sent(self, operation: Sent) -> None:
        outbox_id = operation.outbox_id
        found = self.tally.messages.pop(outbox_id, None)
        if found is None:
            self.flush()
            found = self._connection.execute("SELECT size, job FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
            if found is None:
                return
        size, seq = found
        if operation.settles_delivery:
            self._settled.append((seq,))
        self._gone.append((outbox_id,))
        self.tally.outbox_messages -= 1
        self.tally.outbox_bytes -= size

    def _replace(self, operation: Replace) -> OutboxRow:
        self.flush()
        row, entry, connection, tally = operation.row, operation.entry, self._connection, self.tally
        found = connection.execute(
            "SELECT outbox.size, job.seq, job.state, IFNULL(LENGTH(job.result), 0)"
            " FROM outbox JOIN job ON job.seq = outbox.job WHERE outbox.id = ?",
            (operation.outbox_id,),
        ).fetchone()
        if found is None:
            raise IllegalTransitionError(f"message {operation.outbox_id} of job {row.id} is not in the outbox")
        before, seq, state, result_bytes = found
        result = row.result or b""
        size, properties = _size_of(entry), _properties_of(entry)
        payload = None if entry.payload == result else entry.payload
        connection.execute("UPDATE job SET state = ?, result = ? WHERE seq = ?", (STATE_CODES[row.state], result, seq))
        connection.execute(
            "UPDATE outbox SET size = ?, topic = ?, content_type = ?, properties = ?, payload = ? WHERE id = ?",
            (size, entry.topic, entry.content_type, properties, payload, operation.outbox_id),
        )
        tally.finished[STATES[state]] -= 1
        tally.finished[row.state] += 1
        tally.result_bytes += len(result) - result_bytes
        tally.outbox_bytes += size - before
        tally.messages.pop(operation.outbox_id, None)
        return OutboxRow(operation.outbox_id, entry)

    def _job(self, job_id: str) -> tuple[int, JobState, int]:
        """``seq``, state and bytes of the body."""
        self.flush()
        found = self._connection.execute("SELECT seq, state, LENGTH(body) FROM job WHERE id = ?", (job_id,)).fetchone()
        if found is None:
            raise IllegalTransitionError(f"job {job_id} is not in the journal")
        return found[0], STATES[found[1]], found[2]

    _KINDS: ClassVar[dict[type, Callable[[Transaction, Any], OutboxRow | None]]] = {
        Receive: _receive,
        Count: _count,
        Finish: _finish,
        Sent: _sent,
        Replace: _replace,
        ForgetDeliveries: _forget_deliveries,
        Prune: _prune,
    }


def _size_of(entry: OutboxEntry) -> int:
    return len(entry.payload) + len(entry.topic) + len(entry.correlation or b"") + MESSAGE_OVERHEAD


def _properties_of(entry: OutboxEntry) -> str | None:
    if not entry.user_properties:
        return None
    return "\0".join(text for pair in entry.user_properties for text in pair)
