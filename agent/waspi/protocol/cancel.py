"""The cancel envelope: nothing at all, so that ``mosquitto_pub -n`` will do, or ``{v: 1, reason?}``.

The topic names device and job. A retained cancel is state, not a trigger, and is dropped by the receiver.
"""

from __future__ import annotations

from typing import Final

from waspi.protocol import cbor, field

MAX_BYTES: Final = 1024
MAX_REASON: Final = 200
"""Characters of a reason."""
_KEYS: Final = frozenset(("v", "reason"))


def encode_cancel(reason: str = "") -> bytes:
    """Encode a cancel; the reason is cut at MAX_REASON characters."""
    return cbor.encode({"v": field.VERSION, "reason": reason[:MAX_REASON]}) if reason else b""


def decode_cancel(data: bytes) -> str:
    """The reason that a cancel gives, ``""`` for none; raises :class:`EnvelopeError`, and nothing else."""
    if not data:
        return ""
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_BYTES), "cancel", _KEYS)
    return field.text(fields["reason"], "cancel: 'reason'", longest=MAX_REASON) if "reason" in fields else ""
