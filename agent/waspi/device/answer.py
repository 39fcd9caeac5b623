"""What a job's publisher is told."""

from __future__ import annotations

from waspi.journal.rows import JobRow, OutboxEntry
from waspi.model.result import Result
from waspi.protocol.plain_answer import plain_answer
from waspi.protocol.result_envelope import CONTENT_TYPE


def answer_to(row: JobRow, result: Result, encoded: bytes) -> OutboxEntry | None:
    """The message that tells a job's publisher its result, which ``encoded`` holds; ``None``: nobody is to be told."""
    if row.reply_to is None:
        return None
    if row.plain:
        answer = plain_answer(result)
        return OutboxEntry(
            row.reply_to, answer.payload, row.correlation, answer.content_type, answer.user_properties, row.id
        )
    return OutboxEntry(row.reply_to, encoded, row.correlation, CONTENT_TYPE, (), row.id)
