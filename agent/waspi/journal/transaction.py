"""Operations turned into SQL, inside a transaction that the journal has opened.

Rows of the same kind are gathered and written with one ``executemany`` each; whatever has to see them in the tables
writes them first (:meth:`Transaction.flush`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from waspi.errors import IllegalTransitionError
from waspi.journal.operations import Deliver, Finish, ForgetDeliveries, Operation, Prune, Receive, Requeue, Sent, Start
from waspi.journal.quotas import Quotas
from waspi.journal.retention import prune
from waspi.journal.rows import OutboxEntry, OutboxRow
from waspi.journal.schema import STATE_CODES, STATES
from waspi.journal.tally import Tally
from waspi.model.state import JobState, may_become

_INSERT_JOB = """INSERT INTO job (seq, id, state, attempt, idempotent, priority, plain, delivery, received_at,
 expires_at, body_hash, module, topic, reply_to, correlation, body)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_INSERT_MESSAGE = """INSERT INTO outbox (id, job, size, expires_at, job_id, topic, correlation, content_type,
 properties, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_START_JOB = "UPDATE job SET state = ?, attempt = ? WHERE seq = ?"
_FINISH_JOB = "UPDATE job SET state = ?, body = x'', result = ? WHERE seq = ?"
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
        self._starts: list[tuple[object, ...]] = []
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
            (_START_JOB, self._starts),
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
        for gathered in (self._jobs, self._starts, self._ends, self._messages, self._settled, self._gone):
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
        if (row.state, row.attempt) not in {(JobState.QUEUED, 0), (JobState.IN_PROGRESS, 1)}:
            raise IllegalTransitionError(f"job {row.id} cannot be received as {row.state} with attempt {row.attempt}")
        tally = self.tally
        seq = tally.next_seq
        self._jobs.append(
            (
                seq,
                row.id,
                STATE_CODES[row.state],
                row.attempt,
                row.idempotent,
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
            )
        )
        if row.state is JobState.IN_PROGRESS:
            tally.live[row.id] = (seq, len(row.body), row.attempt)
        tally.next_seq = seq + 1
        tally.received += 1
        tally.jobs += 1
        tally.inbox_bytes += len(row.body)
        self._enter(row.state)
        self._received += 1
        self._now = max(self._now, row.received_at)

    def _start(self, operation: Start) -> None:
        seq, state, attempt, body_bytes = self._job(operation.job_id)
        if not may_become(state, JobState.IN_PROGRESS):
            _illegal(operation.job_id, state, JobState.IN_PROGRESS)
        if operation.attempt != attempt + 1:
            raise IllegalTransitionError(f"job {operation.job_id} has {attempt} attempts, not {operation.attempt - 1}")
        self._starts.append((STATE_CODES[JobState.IN_PROGRESS], operation.attempt, seq))
        self.tally.live[operation.job_id] = (seq, body_bytes, operation.attempt)
        self._leave(state)
        self._enter(JobState.IN_PROGRESS)

    def _requeue(self, operation: Requeue) -> None:
        seq, state, _, _ = self._job(operation.job_id)
        if not may_become(state, JobState.QUEUED):
            _illegal(operation.job_id, state, JobState.QUEUED)
        self.flush()
        self._connection.execute("UPDATE job SET state = ? WHERE seq = ?", (STATE_CODES[JobState.QUEUED], seq))
        self.tally.live.pop(operation.job_id, None)
        self._leave(state)
        self._enter(JobState.QUEUED)

    def _finish(self, operation: Finish) -> OutboxRow | None:
        seq, state, _, body_bytes = self._job(operation.job_id)
        if not operation.state.final or not may_become(state, operation.state):
            _illegal(operation.job_id, state, operation.state)
        self._ends.append((STATE_CODES[operation.state], operation.result, seq))
        self.tally.live.pop(operation.job_id, None)
        self._leave(state)
        self.tally.finished[operation.state] += 1
        self.tally.inbox_bytes -= body_bytes
        self.tally.result_bytes += len(operation.result)
        if operation.entry is None:
            return None
        return self._enqueue(operation.entry, seq, shared=operation.entry.payload == operation.result)

    def _deliver(self, operation: Deliver) -> OutboxRow:
        entry = operation.entry
        if entry.job_id is not None:
            self.flush()
            found = self._connection.execute(
                "SELECT seq, result IS ? FROM job WHERE id = ?", (entry.payload, entry.job_id)
            ).fetchone()
            if found is not None:
                return self._enqueue(entry, found[0], shared=bool(found[1]))
        return self._enqueue(entry, None, shared=False)

    def _enqueue(self, entry: OutboxEntry, seq: int | None, *, shared: bool) -> OutboxRow:
        tally = self.tally
        row = OutboxRow(tally.next_outbox, entry)
        size = len(entry.payload) + len(entry.topic) + len(entry.correlation or b"") + MESSAGE_OVERHEAD
        properties = (
            "\0".join(text for pair in entry.user_properties for text in pair) if entry.user_properties else None
        )
        self._messages.append(
            (
                row.id,
                seq,
                size,
                entry.expires_at,
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

    def _job(self, job_id: str) -> tuple[int, JobState, int, int]:
        """``seq``, state, attempt and bytes of the body."""
        live = self.tally.live.get(job_id)
        if live is not None:
            return live[0], JobState.IN_PROGRESS, live[2], live[1]
        self.flush()
        found = self._connection.execute(
            "SELECT seq, state, attempt, LENGTH(body) FROM job WHERE id = ?", (job_id,)
        ).fetchone()
        if found is None:
            raise IllegalTransitionError(f"job {job_id} is not in the journal")
        return found[0], STATES[found[1]], found[2], found[3]

    def _enter(self, state: JobState) -> None:
        if state is JobState.QUEUED:
            self.tally.queued += 1
        else:
            self.tally.running += 1

    def _leave(self, state: JobState) -> None:
        if state is JobState.QUEUED:
            self.tally.queued -= 1
        else:
            self.tally.running -= 1

    _KINDS: ClassVar[dict[type, Callable[[Transaction, Any], OutboxRow | None]]] = {
        Receive: _receive,
        Start: _start,
        Finish: _finish,
        Requeue: _requeue,
        Deliver: _deliver,
        Sent: _sent,
        ForgetDeliveries: _forget_deliveries,
        Prune: _prune,
    }


def _illegal(job_id: str, state: JobState, then: JobState) -> NoReturn:
    raise IllegalTransitionError(f"job {job_id} is {state} and cannot become {then}")
