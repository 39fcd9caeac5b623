"""The packets of the hot path as bytes: PUBLISH (MQTT 5.0, 3.3) and PUBACK (3.4), both ways and in every case.

Reading takes time in proportion to what is read, and what is read of a message's properties is bounded, because anybody
who may publish decides how many there are, long before a signature is looked at. A message beyond the bounds is a
:class:`Refusal`: it is acknowledged, since it would come again otherwise, and not handed on.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import Final

from waspi.errors import BrokenPacketError, BrokerError
from waspi.model.value import value
from waspi.mqtt.message import Incoming, Outgoing

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PINGRESP: Final = 0xD0
KIND: Final = 0xF0
"""The part of a packet's first byte that names its kind."""
NAMES: Final = {
    0x10: "CONNECT",
    CONNACK: "CONNACK",
    PUBLISH: "PUBLISH",
    PUBACK: "PUBACK",
    0x50: "PUBREC",
    0x60: "PUBREL",
    0x70: "PUBCOMP",
    0x80: "SUBSCRIBE",
    0x90: "SUBACK",
    0xA0: "UNSUBSCRIBE",
    0xB0: "UNSUBACK",
    0xC0: "PINGREQ",
    PINGRESP: "PINGRESP",
    0xE0: "DISCONNECT",
    0xF0: "AUTH",
}
PINGREQ: Final = b"\xc0\x00"

MAX_PROPERTIES_BYTES: Final = 16_384
"""Bytes that the properties of one message may take together."""
MAX_USER_PROPERTIES: Final = 64
"""User properties and subscription identifiers, which alone may stand more than once, in one message."""

_LARGEST: Final = 268_435_455
_TWO: Final = Struct("!H")
_FOUR: Final = Struct("!I")
_PUBACK: Final = Struct("!BBH")
_PUBREC: Final = Struct("!BBHBB")

_PAYLOAD_FORMAT: Final = 0x01
_EXPIRY: Final = 0x02
_CONTENT_TYPE: Final = 0x03
_RESPONSE_TOPIC: Final = 0x08
_CORRELATION: Final = 0x09
_SUBSCRIPTION: Final = 0x0B
_REASON: Final = 0x1F
_TOPIC_ALIAS: Final = 0x23
_USER: Final = 0x26
_NUMBERS: Final = {_PAYLOAD_FORMAT: 1, _EXPIRY: 4}
"""Bytes of those that are integers."""
_LONGEST_REASON: Final = 200


@value
class Refusal:
    """A PUBLISH that is not handed on; it was found sound as far as it was read."""

    topic: str
    qos: int
    packet_id: int
    reason: str


class _Broken(Exception):  # noqa: N818 - becomes a BrokenPacketError
    pass


class _TooMany(Exception):  # noqa: N818 - becomes a Refusal
    pass


def read_publish(data: bytearray, at: int, end: int, connection: int) -> Incoming | Refusal:
    """The PUBLISH that stands in ``data`` from ``at`` to ``end``, its fixed header included and found sound.

    ``connection``: number of the connection that brought it. Raises ``BrokenPacketError``.
    """
    first = data[at]
    qos = first >> 1 & 3
    acknowledged = 0
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
            size, start = _rest_of_number(data, size, start)
        body = start + size
        # One comparison bounds all that was read so far: nothing of it lies behind the properties' end.
        if body > end:
            raise _Broken("it is shorter than what it says that it holds")  # noqa: TRY301
        if qos:
            if not packet_id or qos > 2:  # noqa: PLR2004
                raise _Broken("a QoS or packet identifier that does not exist")  # noqa: TRY301
            acknowledged = packet_id if qos == 1 else 0
        if stop == at:
            raise _Broken("an empty topic, or a topic alias that nobody asked for")  # noqa: TRY301
        topic = data[at:stop].decode()
        if qos > 1:
            return Refusal(topic, qos, packet_id, "it comes with QoS 2, which nobody asked for")
        if size > MAX_PROPERTIES_BYTES:
            told = f"{size} bytes of properties, more than the {MAX_PROPERTIES_BYTES} that are read"
            return Refusal(topic, qos, packet_id, told)
        flags = (topic, bytes(memoryview(data)[body:end]), qos, first & 1 != 0, first & 8 != 0, packet_id, connection)
        if not size:
            return Incoming(*flags)
        return Incoming(*flags, *_properties(data, start, body))
    except _TooMany:
        told = f"more than the {MAX_USER_PROPERTIES} user properties and subscription identifiers that are read"
        return Refusal(topic, qos, packet_id, told)
    except (IndexError, UnicodeDecodeError, _Broken) as error:
        raise BrokenPacketError(
            str(error) if isinstance(error, _Broken) else _BROKEN[type(error)], acknowledged
        ) from error


_BROKEN: Final[dict[type[Exception], str]] = {
    IndexError: "it ends too soon",
    UnicodeDecodeError: "a text that is no UTF-8",
}


def _rest_of_number(data: bytearray, low: int, at: int) -> tuple[int, int]:
    """The Variable Byte Integer (MQTT 5.0, 1.5.5) whose first byte is ``low``, and where it ends."""
    number = low & 0x7F
    for shift in (7, 14, 21):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
    raise _Broken("a length of more than four bytes")


def _properties(  # noqa: PLR0912 - a branch per property; calls would cost each job a microsecond
    data: bytearray, at: int, end: int
) -> tuple[str | None, bytes | None, int | None, str | None, tuple[tuple[str, str], ...]]:
    """Response Topic, Correlation Data, expiry, Content Type and user properties. Raises ``_Broken``, ``_TooMany``."""
    texts: dict[int, str] = {}
    numbers: dict[int, int] = {}
    correlation: bytes | None = None
    user: list[tuple[str, str]] = []
    subscriptions = 0
    while at < end:
        name = data[at]
        if name in texts or name in numbers or (name == _CORRELATION and correlation is not None):
            raise _Broken(f"property 0x{name:02X} stands there twice")
        size = _NUMBERS.get(name)
        if size is not None:
            at += 1 + size
            numbers[name] = int.from_bytes(data[at - size : at], "big")
            continue
        if name == _SUBSCRIPTION:
            subscriptions += 1
            if subscriptions + len(user) > MAX_USER_PROPERTIES:
                raise _TooMany
            low, at = data[at + 1], at + 2
            if low & 0x80:
                _, at = _rest_of_number(data, low, at)
            continue
        at += 3
        stop = at + (data[at - 2] << 8 | data[at - 1])
        if name == _CORRELATION:
            correlation = bytes(data[at:stop])
        elif name in {_RESPONSE_TOPIC, _CONTENT_TYPE}:
            texts[name] = _text(data[at:stop])
        elif name == _USER:
            if subscriptions + len(user) >= MAX_USER_PROPERTIES:
                raise _TooMany
            key = _text(data[at:stop])
            at = stop + 2
            stop = at + (data[at - 2] << 8 | data[at - 1])
            user.append((key, _text(data[at:stop])))
        elif name == _TOPIC_ALIAS:
            raise _Broken("a topic alias that nobody asked for")
        else:
            raise _Broken(f"a property 0x{name:02X}, which a PUBLISH cannot have")
        at = stop
    if at != end:
        raise _Broken("its last property is longer than all of them")
    if numbers.get(_PAYLOAD_FORMAT, 0) > 1:
        raise _Broken("a payload format that does not exist")
    return texts.get(_RESPONSE_TOPIC), correlation, numbers.get(_EXPIRY), texts.get(_CONTENT_TYPE), tuple(user)


def _text(raw: bytearray) -> str:
    text = raw.decode()
    if "\0" in text or "\ufeff" in text:
        raise _Broken("a text with a character that MQTT forbids")
    return text


def read_puback(data: bytearray, at: int, end: int) -> tuple[int, int, str]:
    """The PUBACK that stands in ``data`` from ``at`` to ``end``: packet identifier, reason code, Reason String or "".

    The code may be any: brokers use ones that MQTT 5.0 does not list for a PUBACK. Raises ``BrokenPacketError``.
    """
    if end - at == 4 and data[at] == PUBACK:  # noqa: PLR2004 - bytes of the shortest form
        return data[at + 2] << 8 | data[at + 3], 0, ""
    body = at + 1
    while data[body] & 0x80:
        body += 1
    body += 1
    if data[at] != PUBACK or end - body < 2:  # noqa: PLR2004
        raise BrokenPacketError("flags that are reserved, or no packet identifier")
    packet_id = data[body] << 8 | data[body + 1]
    code = data[body + 2] if end - body > 2 else 0  # noqa: PLR2004
    return packet_id, code, _reason(data, body + 3, end)


def _reason(data: bytearray, at: int, end: int) -> str:
    """The Reason String (MQTT 5.0, 3.4.2.2.2), as far as it helps a reader of the log; it decides nothing."""
    try:
        size, at = data[at], at + 1
        if size & 0x80:
            size, at = _rest_of_number(data, size, at)
        end = min(end, at + size)
        for _ in range(MAX_USER_PROPERTIES):
            name, at = data[at], at + 3
            stop = at + (data[at - 2] << 8 | data[at - 1])
            if stop > end:
                return ""
            if name == _REASON:
                return data[at : min(stop, at + _LONGEST_REASON)].decode(errors="replace")
            at = stop if name != _USER else stop + 2 + (data[stop] << 8 | data[stop + 1])
    except (IndexError, _Broken):
        pass
    return ""


def puback(packet_id: int) -> bytes:
    """A PUBACK that says: taken."""
    return _PUBACK.pack(PUBACK, 2, packet_id)


def pubrec_refused(packet_id: int) -> bytes:
    """A PUBREC that says: implementation specific error. It ends a QoS 2 message for good (MQTT 5.0, 4.3.3)."""
    return _PUBREC.pack(0x50, 4, packet_id, 0x83, 0)


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
