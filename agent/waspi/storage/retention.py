"""Which jobs may be forgotten, and forgetting them a few at a time.

A job is forgotten only when it is final and nothing of it waits in the outbox. One with an expiry stays until the
expiry and a margin have passed, because until then its message can be replayed. Under pressure (too many rows) the
oldest of the others go; by age they go after the retention time, but never the last ``keep_jobs``, so that a clock that
jumps does not empty the memory. Results are dropped before rows: a duplicate is then still known, and not run again.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from waspi.storage.quotas import Quotas
from waspi.storage.schema import FINISHED_COLUMNS, STATE_CODES, STATES
from waspi.storage.tally import Tally

_FIRST_FINAL = min(STATE_CODES[state] for state in FINISHED_COLUMNS)

CLOCK_SLACK_S: Final = 86_400.0
"""A row from further in the future than this was written under another clock; its times mean nothing."""

_LOOK = 4
"""Rows looked at for each row that may be dropped: protected ones must not make one commit long."""


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
    rows = connection.execute(
        "SELECT seq, state, received_at, expires_at, IFNULL(LENGTH(result), 0) FROM job"
        " WHERE seq > ? ORDER BY seq LIMIT ?",
        (tally.job_cursor, _LOOK * limit),
    ).fetchall()
    tally.job_cursor = rows[-1][0] if rows else 0
    waiting = _waiting(connection, rows)
    forgotten: dict[int, int] = {}
    done = 0
    for seq, state, received_at, expires_at, result_bytes in rows:
        crowded = tally.jobs > quotas.jobs
        due = received_at + quotas.retention_s < now and tally.jobs > quotas.keep_jobs
        if done >= limit or not (crowded or due):
            tally.job_cursor = seq - 1
            break
        if state < _FIRST_FINAL or seq in waiting or seq == tally.next_seq - 1:
            continue
        if protected(received_at, expires_at, now, quotas):
            continue
        connection.execute("DELETE FROM job WHERE seq = ?", (seq,))
        tally.jobs -= 1
        tally.result_bytes -= result_bytes
        forgotten[state] = forgotten.get(state, 0) + 1
        done += 1
    _remember_totals(connection, forgotten)
    return done


def _drop_results(connection: sqlite3.Connection, tally: Tally, quotas: Quotas, limit: int) -> int:
    rows = connection.execute(
        "SELECT seq, LENGTH(result) FROM job WHERE seq > ? AND result IS NOT NULL ORDER BY seq LIMIT ?",
        (tally.result_cursor, _LOOK * limit),
    ).fetchall()
    tally.result_cursor = rows[-1][0] if rows else 0
    waiting = _waiting(connection, rows)
    done = 0
    for seq, result_bytes in rows:
        if done >= limit or tally.result_bytes <= quotas.result_bytes:
            tally.result_cursor = seq - 1
            break
        if seq in waiting:
            continue
        connection.execute("UPDATE job SET result = NULL WHERE seq = ?", (seq,))
        tally.result_bytes -= result_bytes
        done += 1
    return done


def _waiting(connection: sqlite3.Connection, rows: list[tuple[int, ...]]) -> set[int]:
    # A scan of the outbox, which is nearly empty as a rule, instead of an index, which would cost a page per job.
    if not rows:
        return set()
    found = connection.execute("SELECT job FROM outbox WHERE job BETWEEN ? AND ?", (rows[0][0], rows[-1][0]))
    return {seq for (seq,) in found.fetchall()}


def _remember_totals(connection: sqlite3.Connection, forgotten: dict[int, int]) -> None:
    if not forgotten:
        return
    columns = {FINISHED_COLUMNS[STATES[code]]: number for code, number in forgotten.items()}
    columns["received"] = sum(forgotten.values())
    assignments = ", ".join(f"{column} = {column} + ?" for column in columns)
    connection.execute(f"UPDATE meta SET {assignments}", tuple(columns.values()))  # noqa: S608 - column names of ours
