"""Which jobs may be forgotten, and forgetting them a few at a time.

A job is forgotten only when it is final and nothing of it waits in the outbox. One with an expiry stays until the
expiry and a margin have passed, because until then its message can be replayed. Under pressure (too many rows) the
oldest of the others go; by age they go after the retention time, but never the last ``keep_jobs``, so that a clock that
jumps does not empty the memory. Results are dropped before rows: a duplicate is then still known, and not run again.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Protocol, TypeAlias

from waspi.journal.quotas import Quotas
from waspi.journal.schema import FINISHED_COLUMNS, STATE_CODES, STATES
from waspi.journal.tally import Tally

_FIRST_FINAL = min(STATE_CODES[state] for state in FINISHED_COLUMNS)

_Row: TypeAlias = tuple[Any, ...]


class _Visit(Protocol):
    def __call__(self, row: _Row, *, waiting: bool) -> bool:
        """Whether to go on. ``waiting``: a message of this job is in the outbox."""


CLOCK_SLACK_S: Final = 86_400.0
"""A row from further in the future than this was written under another clock; its times mean nothing."""

_LOOK: Final = 1000
"""Rows looked at in one go at most: many that are protected must not make one commit long."""


def prune(connection: sqlite3.Connection, tally: Tally, quotas: Quotas, *, now: float, limit: int, aged: bool) -> int:
    """Forget up to ``limit`` jobs and drop up to ``limit`` results; how many rows changed (``int``).

    Goes on where the last call stopped. ``aged``: also what is due by age. ``now``: Unix seconds. Works inside the
    caller's transaction; ``tally`` follows. Raises ``sqlite3.Error``.
    """
    changed = 0
    if tally.jobs > quotas.jobs or (aged and tally.jobs > quotas.keep_jobs):
        changed += _forget_jobs(connection, tally, quotas, now, limit)
    if tally.result_bytes > quotas.result_bytes:
        changed += _drop_results(connection, tally, quotas, limit)
    return changed


def protected(received_at: float, expires_at: float | None, now: float, quotas: Quotas) -> bool:
    """Whether a message of this job could still be replayed, so that its row has to stay (``bool``)."""
    if expires_at is None or received_at > now + CLOCK_SLACK_S:
        return False
    return min(expires_at, received_at + quotas.horizon_s) + quotas.margin_s >= now


def _forget_jobs(connection: sqlite3.Connection, tally: Tally, quotas: Quotas, now: float, limit: int) -> int:
    forgotten: dict[int, int] = {}

    def visit(row: _Row, *, waiting: bool) -> bool:
        seq, state, received_at, expires_at, result_bytes = row
        crowded = tally.jobs > quotas.jobs
        due = received_at + quotas.retention_s < now and tally.jobs > quotas.keep_jobs
        if sum(forgotten.values()) >= limit or not (crowded or due):
            return False
        if state >= _FIRST_FINAL and not waiting and not protected(received_at, expires_at, now, quotas):
            connection.execute("DELETE FROM job WHERE seq = ?", (seq,))
            tally.jobs -= 1
            tally.result_bytes -= result_bytes
            forgotten[state] = forgotten.get(state, 0) + 1
        return True

    select = "SELECT seq, state, received_at, expires_at, IFNULL(LENGTH(result), 0) FROM job WHERE seq > ?"
    # The newest tenth is left alone: else a pass that is behind the protected ones would eat what has just come in.
    # It also keeps the last row, from which the next ``seq`` is known.
    newest = tally.next_seq - 1 - min(quotas.jobs, tally.jobs) // 10
    tally.job_cursor = _walk(connection, select, visit, start=tally.job_cursor, stop=newest, step=2 * limit)
    _remember_totals(connection, forgotten)
    return sum(forgotten.values())


def _drop_results(connection: sqlite3.Connection, tally: Tally, quotas: Quotas, limit: int) -> int:
    dropped = 0

    def visit(row: _Row, *, waiting: bool) -> bool:
        nonlocal dropped
        seq, result_bytes = row
        if dropped >= limit or tally.result_bytes <= quotas.result_bytes:
            return False
        if not waiting:
            connection.execute("UPDATE job SET result = NULL WHERE seq = ?", (seq,))
            tally.result_bytes -= result_bytes
            dropped += 1
        return True

    select = "SELECT seq, LENGTH(result) FROM job WHERE result IS NOT NULL AND seq > ?"
    tally.result_cursor = _walk(
        connection, select, visit, start=tally.result_cursor, stop=tally.next_seq, step=2 * limit
    )
    return dropped


def _walk(connection: sqlite3.Connection, select: str, visit: _Visit, *, start: int, stop: int, step: int) -> int:
    """Visit rows by ``seq`` from ``start`` to before ``stop``, once from the beginning again; where to go on.

    Ends when ``visit`` says so, after a whole round, or after :data:`_LOOK` rows.
    """
    cursor = start
    looked = 0
    while looked < _LOOK:
        rows = connection.execute(f"{select} AND seq < ? ORDER BY seq LIMIT ?", (cursor, stop, step)).fetchall()
        if not rows:
            if start == 0:
                return 0
            start = cursor = 0
            continue
        waiting = _waiting(connection, rows)
        for row in rows:
            if not visit(row, waiting=row[0] in waiting):
                return cursor
            cursor = row[0]
        looked += len(rows)
    return cursor


def _waiting(connection: sqlite3.Connection, rows: list[_Row]) -> set[int]:
    # A scan of the outbox, which is nearly empty as a rule, instead of an index, which would cost a page per job.
    found = connection.execute("SELECT job FROM outbox WHERE job BETWEEN ? AND ?", (rows[0][0], rows[-1][0]))
    return {seq for (seq,) in found.fetchall()}


def _remember_totals(connection: sqlite3.Connection, forgotten: dict[int, int]) -> None:
    if not forgotten:
        return
    columns = {FINISHED_COLUMNS[STATES[code]]: number for code, number in forgotten.items()}
    columns["received"] = sum(forgotten.values())
    assignments = ", ".join(f"{column} = {column} + ?" for column in columns)
    connection.execute(f"UPDATE meta SET {assignments}", tuple(columns.values()))  # noqa: S608 - column names of ours
