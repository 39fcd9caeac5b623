"""Questions to the journal, on a connection of their own that never writes. For one thread: the loop's.

A reader sees what is committed, and nothing of a batch that is under way. Each method raises
:class:`~waspi.errors.StorageError` when the disk does not answer or the file is damaged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any

from waspi.journal.connection import open_for_reading, translated
from waspi.journal.rows import JobRow, OutboxEntry, OutboxRow
from waspi.journal.schema import STATE_CODES, STATES
from waspi.model.state import JobState

_JOB = """SELECT id, body_hash, state, received_at, topic, module, body, seq, attempt, priority, expires_at,
 reply_to, correlation, plain, delivery, result FROM job """

_MESSAGE = """SELECT outbox.id, outbox.topic, IFNULL(outbox.payload, job.result), outbox.correlation,
 outbox.content_type, outbox.properties, outbox.job_id
 FROM outbox LEFT JOIN job ON job.seq = outbox.job """

DELIVERY_WINDOW = 4096
"""Jobs back from the newest within which a redelivered plain message is looked for. MQTT packet identifiers come
round again after 65,535 messages at the earliest."""


class Reader:
    """Read-only view of the journal at ``path``, which has to exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = open_for_reading(path)
        except sqlite3.Error as error:
            raise translated("open", path, error) from error

    def job(self, job_id: str) -> JobRow | None:
        """The job of that id, with its body or result."""
        rows = self._jobs("WHERE id = ?", job_id)
        return rows[0] if rows else None

    def state(self, job_id: str) -> JobState | None:
        """The state of the job of that id; reads neither its body nor its result."""
        found = self._rows("SELECT state FROM job WHERE id = ?", job_id)
        return STATES[found[0][0]] if found else None

    def by_delivery(self, packet_id: int, body_hash: bytes) -> JobRow | None:
        """The recent plain job that a message with DUP set repeats: same packet identifier, same payload.

        Only the newest one with that identifier: when a broker uses it again, it has done with those before.
        """
        rows = self._jobs(
            "WHERE seq > (SELECT MAX(seq) FROM job) - ? AND delivery = ? ORDER BY seq DESC LIMIT 1",
            DELIVERY_WINDOW,
            packet_id,
        )
        return rows[0] if rows and rows[0].body_hash == body_hash else None

    def queued(self, limit: int, *, without: Collection[str] = (), max_bytes: int | None = None) -> list[JobRow]:
        """The next ``limit`` jobs to start, with bodies: highest priority first, then in order of arrival.

        ``max_bytes``: none after that many bytes of bodies (the one that passes it is the last). ``without``: ids to
        leave out, because an operation on them is under way.
        """
        found = self._rows(
            "SELECT seq, id FROM job WHERE state = 2 ORDER BY priority DESC, seq LIMIT ?", limit + len(without)
        )
        chosen = [seq for seq, job_id in found if job_id not in without][:limit]
        rows: list[JobRow] = []
        total = 0
        for seq in chosen:
            if max_bytes is not None and total >= max_bytes:
                break
            for row in self._jobs("WHERE seq = ?", seq):
                rows.append(row)
                total += len(row.body)
        return rows

    def pinned(self) -> list[str]:
        """Digests of the modules of all jobs that are not final, one for each job."""
        return [module[-64:] for (module,) in self._rows("SELECT module FROM job WHERE state = 2 ORDER BY seq")]

    def last_seq(self) -> int:
        """The newest job's ``seq``, 0 without jobs."""
        return int(self._rows("SELECT IFNULL(MAX(seq), 0) FROM job")[0][0])

    def outbox(self, after_id: int = 0, limit: int = 64, *, max_bytes: int = 1 << 20) -> list[OutboxRow]:
        """Messages to publish after ``after_id``, in order: ``limit`` at most, none after ``max_bytes`` are full."""
        chosen = 0
        total = 0
        for (size,) in self._rows("SELECT size FROM outbox WHERE id > ? ORDER BY id LIMIT ?", after_id, limit):
            chosen += 1
            total += size
            if total >= max_bytes:
                break
        found = self._rows(_MESSAGE + "WHERE outbox.id > ? ORDER BY outbox.id LIMIT ?", after_id, chosen)
        return [_outbox_row(row) for row in found]

    def message(self, outbox_id: int) -> OutboxRow | None:
        """One message of the outbox."""
        found = self._rows(_MESSAGE + "WHERE outbox.id = ?", outbox_id)
        return _outbox_row(found[0]) if found else None

    def recent(self, limit: int, *, states: Collection[JobState] = (), before_seq: int | None = None) -> list[JobRow]:
        """The newest ``limit`` jobs, newest first, of these states (all when empty), bodies and results left out."""
        codes = ", ".join(str(STATE_CODES[state]) for state in states or STATE_CODES if state in STATE_CODES)
        columns = _JOB.replace(" body,", " x'',").replace(", result", ", NULL")
        found = self._rows(
            columns + f"WHERE state IN ({codes}) AND seq < ? ORDER BY seq DESC LIMIT ?",
            before_seq if before_seq is not None else 1 << 62,
            limit,
        )
        return [_job_row(row) for row in found]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _jobs(self, where: str, *values: object) -> list[JobRow]:
        return [_job_row(row) for row in self._rows(_JOB + where, *values)]

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        # All rows at once: an open cursor would keep the write-ahead log from being reset.
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise translated("read", self._path, error) from error


def _job_row(row: tuple[Any, ...]) -> JobRow:
    return JobRow(
        id=row[0],
        body_hash=row[1],
        state=STATES[row[2]],
        received_at=row[3],
        topic=row[4],
        module=row[5],
        body=row[6],
        seq=row[7],
        attempt=row[8],
        priority=row[9],
        expires_at=row[10],
        reply_to=row[11],
        correlation=row[12],
        plain=bool(row[13]),
        delivery=row[14],
        result=row[15],
    )


def _outbox_row(row: tuple[Any, ...]) -> OutboxRow:
    outbox_id, topic, payload, correlation, content_type, properties, job_id = row
    texts = properties.split("\0") if properties is not None else []
    return OutboxRow(
        outbox_id,
        OutboxEntry(
            topic=topic,
            payload=payload if payload is not None else b"",
            correlation=correlation,
            content_type=content_type,
            user_properties=tuple(zip(texts[::2], texts[1::2], strict=True)),
            job_id=job_id,
        ),
    )
