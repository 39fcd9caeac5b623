"""Plain requests have no id: how one that comes again is told from another."""

from __future__ import annotations

import hashlib

from waspi.journal.rows import JobRow
from waspi.mqtt.message import Incoming


def is_repeated(row: JobRow, message: Incoming) -> bool:
    """Whether a message with the packet identifier of this plain job may be the same message once more (``bool``)."""
    return (
        row.topic == message.topic
        and row.correlation == message.correlation
        and row.body_hash == hashlib.sha256(message.payload).digest()
    )
