"""The packets of the hot path as bytes: PUBLISH (MQTT 5.0, 3.3) both ways, and PUBACK (3.4).

Reading takes what a well-behaved broker sends and nothing else. Whatever is rare or wrong is left to paho
(:mod:`waspi.mqtt.connection`), which reads it slowly or refuses it: what is malformed is decided in one place.
``tests/unit/mqtt/test_packet.py`` compares both directions with paho's own.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Final

from waspi.errors import BrokerError
from waspi.mqtt.message import Incoming, Outgoing

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
KIND: Final = 0xF0
"""The part of a packet's first byte that names its kind."""

_LARGEST: Final = 268_435_455
_TWO: Final = Struct("!H")
_FOUR: Final = Struct("!I")
_PUBACK: Final = Struct("!BBH")

_PAYLOAD_FORMAT: Final = 0x01
_EXPIRY: Final = 0x02
_CONTENT_TYPE: Final = 0x03
_RESPONSE_TOPIC: Final = 0x08
_CORRELATION: Final = 0x09
_USER: Final = 0x26
_NUMBERS: Final = {_PAYLOAD_FORMAT: 1, _EXPIRY: 4}
"""Bytes of those that are integers."""
_LONGEST: Final = 0x3FFF
"""Bytes of all properties together, as far as this reader goes: what a length of two bytes can say."""


class _ForPaho(Exception):  # noqa: N818 - no error: a packet that is left to another reader
    pass


def read_publish(data: bytearray, at: int, end: int, connection: int) -> Incoming | None:
    """The PUBLISH that stands in ``data`` from ``at`` to ``end``, its fixed header included and found sound.

    ``None``: it is not for this reader. ``connection``: number of the connection that brought it.
    """
    first = data[at]
    qos = first >> 1 & 3
    try:
        at += 1
        while data[at] & 0x80:
            at += 1
        at += 3
        stop = at + (data[at - 2] << 8 | data[at - 1])
        packet_id = 0
        start = stop
        if qos:
            packet_id = data[stop] << 8 | data[stop + 1]
            start += 2
        size = data[start]
        start += 1
        if size & 0x80:
            size = size & 0x7F | data[start] << 7
            start += 1
        body = start + size
        # One comparison bounds all that was read so far: nothing of it lies behind the properties' end.
        if stop == at or qos > 1 or (qos and not packet_id) or size > _LONGEST or body > end:
            return None
        topic = data[at:stop].decode()
        payload = bytes(memoryview(data)[body:end])
        flags = (topic, payload, qos, first & 1 != 0, first & 8 != 0, packet_id, connection)
        if not size:
            return Incoming(*flags)
        return Incoming(*flags, *_properties(data, start, body))
    except (IndexError, UnicodeDecodeError, _ForPaho):
        return None


def _properties(
    data: bytearray, at: int, end: int
) -> tuple[str | None, bytes | None, int | None, str | None, tuple[tuple[str, str], ...]]:
    """Response Topic, Correlation Data, expiry, Content Type and user properties. Raises ``_ForPaho``."""
    texts: dict[int, str] = {}
    numbers: dict[int, int] = {}
    correlation: bytes | None = None
    user: list[tuple[str, str]] = []
    while at < end:
        name = data[at]
        if name in texts or name in numbers or (name == _CORRELATION and correlation is not None):
            raise _ForPaho
        size = _NUMBERS.get(name)
        if size is not None:
            at += 1 + size
            numbers[name] = int.from_bytes(data[at - size : at], "big")
            continue
        at += 3
        stop = at + (data[at - 2] << 8 | data[at - 1])
        if name == _CORRELATION:
            correlation = bytes(data[at:stop])
        elif name in {_RESPONSE_TOPIC, _CONTENT_TYPE}:
            texts[name] = _text(data[at:stop])
        elif name == _USER:
            key = _text(data[at:stop])
            at = stop + 2
            stop = at + (data[at - 2] << 8 | data[at - 1])
            user.append((key, _text(data[at:stop])))
        else:
            raise _ForPaho
        at = stop
    if at != end or numbers.get(_PAYLOAD_FORMAT, 0) > 1:  # the last one reaches beyond the properties, or no format
        raise _ForPaho
    return texts.get(_RESPONSE_TOPIC), correlation, numbers.get(_EXPIRY), texts.get(_CONTENT_TYPE), tuple(user)


def _text(raw: bytearray) -> str:
    text = raw.decode()
    if "\0" in text or "\ufeff" in text:
        raise _ForPaho
    return text


def read_puback(data: bytearray, at: int, end: int) -> int | None:
    """Packet identifier of a PUBACK that stands in ``data`` from ``at`` to ``end`` and says: taken.

    ``None``: it says something else, or nothing that this reader understands.
    """
    if end - at == 4 and data[at] == PUBACK and data[at + 1] == 2:  # noqa: PLR2004 - bytes of the shortest form
        return data[at + 2] << 8 | data[at + 3]
    return None


def puback(packet_id: int) -> bytes:
    """A PUBACK that says: taken."""
    return _PUBACK.pack(PUBACK, 2, packet_id)


def publish(message: Outgoing, packet_id: int) -> bytes:
    """A PUBLISH; ``packet_id`` is looked at for QoS 1 only. Raises ``BrokerError`` for one that cannot be sent."""
    topic = message.topic
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise BrokerError(f"no message can be published to {topic!r}")
    try:
        properties = _packed(message)
        name = topic.encode()
        head = (_TWO.pack(len(name)), name, _TWO.pack(packet_id) if message.qos else b"", _length(len(properties)))
    except (struct_error, UnicodeEncodeError) as error:
        raise BrokerError(
            f"topic or properties of a message are too long for MQTT, or no text: {topic[:80]!r}"
        ) from error
    payload = message.payload
    size = sum(map(len, head)) + len(properties) + len(payload)
    if size > _LARGEST:
        raise BrokerError(f"a message of {size} bytes is too long for MQTT")
    return b"".join((bytes((PUBLISH | message.qos << 1 | message.retain,)), _length(size), *head, properties, payload))


def _packed(message: Outgoing) -> bytes:
    parts: list[bytes] = []
    if message.reply_to is not None:
        text = message.reply_to.encode()
        parts += (b"\x08", _TWO.pack(len(text)), text)
    if message.correlation is not None:
        parts += (b"\x09", _TWO.pack(len(message.correlation)), message.correlation)
    if message.content_type is not None:
        text = message.content_type.encode()
        parts += (b"\x03", _TWO.pack(len(text)), text)
    if message.expires_in_s is not None:
        parts += (b"\x02", _FOUR.pack(message.expires_in_s))
    for pair in message.user_properties:
        parts.append(b"\x26")
        for each in pair:
            text = each.encode()
            parts += (_TWO.pack(len(text)), text)
    return b"".join(parts)


def _length(size: int) -> bytes:
    """A Variable Byte Integer (MQTT 5.0, 1.5.5)."""
    if size < 0x80:  # noqa: PLR2004 - what fits into seven bits
        return bytes((size,))
    out = bytearray()
    while size > 0x7F:  # noqa: PLR2004
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
