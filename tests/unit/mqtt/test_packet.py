"""Reader and writer of PUBLISH and PUBACK say what paho's say, in time that follows the size of what is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from waspi.errors import BrokenPacketError, BrokerError
from waspi.mqtt.message import Incoming, Outgoing
from waspi.mqtt.packet import (
    MAX_PROPERTIES_BYTES,
    MAX_USER_PROPERTIES,
    Refusal,
    puback,
    publish,
    pubrec_refused,
    read_puback,
    read_publish,
)

V5 = MQTTProtocolVersion.MQTTv5
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=40)
TOPIC = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=60)
PACKET_ID = st.integers(1, 65_535)
OUTGOING = st.builds(
    Outgoing,
    topic=TOPIC,
    payload=st.binary(max_size=300),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    reply_to=st.none() | TEXT,
    correlation=st.none() | st.binary(max_size=200),
    expires_in_s=st.none() | st.integers(0, 2**32 - 1),
    content_type=st.none() | TEXT,
    user_properties=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "ContentType": TEXT,
        "ResponseTopic": TEXT,
        "CorrelationData": st.binary(max_size=200),
        "UserProperty": st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
    },
)


def body_of(packet: bytes) -> bytes:
    """What follows the fixed header."""
    length, size = VariableByteIntegers.decode(packet[1:])
    assert length == len(packet) - 1 - size
    return packet[1 + size :]


def read(packet: bytes) -> Incoming | Refusal:
    """Read it from amid others, as it stands in a stream."""
    before, after = b"\x30\x05\x00\x01t\x00x", b"\x30\x7f" + bytes(130)
    return read_publish(bytearray(before + packet + after), len(before), len(before) + len(packet), 7)


def read_or_none(packet: bytes) -> Incoming | None:
    """What is handed on; ``None`` for what is refused, broken or not."""
    try:
        found = read(packet)
    except BrokenPacketError:
        return None
    return found if isinstance(found, Incoming) else None


def read_by_paho(packet: bytes) -> Incoming | None:
    """What paho finds in it; ``None`` where it refuses."""
    try:
        found = _packet.decode_publish(packet[0], body_of(packet), V5)
        values = found.properties
        assert values is not None
        correlation = getattr(values, "CorrelationData", None)
        return Incoming(
            topic=found.topic.decode(),
            payload=bytes(found.payload),
            qos=found.qos,
            retain=found.retain,
            dup=found.dup,
            packet_id=found.mid,
            connection=7,
            reply_to=getattr(values, "ResponseTopic", None),
            correlation=None if correlation is None else bytes(correlation),
            expires_in_s=getattr(values, "MessageExpiryInterval", None),
            content_type=getattr(values, "ContentType", None),
            user_properties=tuple(getattr(values, "UserProperty", ())),
        )
    except (MalformedPacket, UnicodeDecodeError):
        return None


def packed(first: int, topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic
    body += packet_id.to_bytes(2, "big") if first & 6 else b""
    body += properties + payload
    return bytes([first]) + bytes(VariableByteIntegers.encode(len(body))) + body


@given(OUTGOING, PACKET_ID)
def test_paho_reads_what_is_written(message: Outgoing, packet_id: int) -> None:
    packet = publish(message, packet_id)
    found = read_by_paho(packet)
    assert found == Incoming(
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        dup=False,
        packet_id=packet_id if message.qos else 0,
        connection=7,
        reply_to=message.reply_to,
        correlation=message.correlation,
        expires_in_s=message.expires_in_s,
        content_type=message.content_type,
        user_properties=message.user_properties,
    )
    assert read(packet) == found


@given(TOPIC, PACKET_ID, st.sampled_from([0x30, 0x31, 0x32, 0x33, 0x3A, 0x3B]), PROPERTIES, st.binary(max_size=300))
def test_what_paho_writes_is_read(
    topic: str, packet_id: int, first: int, values: dict[str, object], payload: bytes
) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    packet = packed(first, topic.encode(), packet_id, properties.pack(), payload)
    found = read(packet)
    assert found is not None
    assert found == read_by_paho(packet)


@given(st.sampled_from([0x30, 0x32, 0x34, 0x36, 0x3F]), st.binary(max_size=60))
@example(0x30, b"\x00\x01t\x02\x01\x00x")  # one property, two bytes of it, and a payload
@example(0x30, b"\x00\x01t\x03\x26\x00\x00")  # a user property without its value
@example(0x30, b"\x00\x01t\x81\x00\x01")  # a length that is longer than it need be
@example(0x30, b"\x00\x01t\x01\x01")  # the value of the last property would be the payload
@example(0x30, b"\x00\x01t\x05\x09\x00\x00\x09\x00")
def test_nothing_is_taken_that_paho_would_refuse(first: int, body: bytes) -> None:
    packet = bytes([first, len(body)]) + body
    found = read_or_none(packet)
    if found is not None:
        assert found == read_by_paho(packet)


@given(OUTGOING, PACKET_ID, st.data())
def test_a_damaged_packet_is_read_as_paho_reads_it_or_refused(
    message: Outgoing, packet_id: int, data: st.DataObject
) -> None:
    packet = bytearray(publish(message, packet_id))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(len(packet) - len(body_of(publish(message, packet_id))), len(packet) - 1))] = (
            data.draw(st.integers(0, 255))
        )
    found = read_or_none(bytes(packet))
    if found is not None:
        assert found == read_by_paho(bytes(packet))


@pytest.mark.parametrize(
    ("first", "topic", "packet_id", "properties", "why", "acknowledged"),
    [
        (0x36, b"t", 1, b"\x00", "QoS", 0),
        (0x32, b"t", 0, b"\x00", "packet identifier", 0),
        (0x32, b"", 1, b"\x00", "topic alias", 1),
        (0x32, b"t", 1, b"\x03\x23\x00\x01", "topic alias", 1),
        (0x32, b"\xff", 9, b"\x00", "UTF-8", 9),
        (0x30, b"\xff", 0, b"\x00", "UTF-8", 0),
        (0x30, b"t", 0, b"\x05\x03\x00\x02\xff\xfe", "UTF-8", 0),
        (0x32, b"t", 1, b"\x04\x08\x00\x01\x00", "forbids", 1),
        (0x30, b"t", 0, b"\x08\x09\x00\x01a\x09\x00\x01b", "twice", 0),
        (0x30, b"t", 0, b"\x04\x01\x00\x01\x00", "twice", 0),
        (0x30, b"t", 0, b"\x02\x01\x02", "payload format", 0),
        (0x32, b"t", 1, b"\x03\x7f\x00\x00", "0x7F", 1),
        (0x32, b"t", 1, b"\x7f", "shorter", 0),
        (0x32, b"t", 1, b"\x03\x09\x00\x05", "longer", 1),
        (0x32, b"t", 1, b"\xff\xff\xff\xff\x01", "four bytes", 0),
    ],
)
def test_what_is_broken_says_why_and_can_be_acknowledged(
    first: int, topic: bytes, packet_id: int, properties: bytes, why: str, acknowledged: int
) -> None:
    with pytest.raises(BrokenPacketError, match=why) as caught:
        read(packed(first, topic, packet_id, properties, b""))
    assert caught.value.packet_id == acknowledged


def test_a_packet_identifier_is_taken_from_its_own_packet_only() -> None:
    """A topic that is longer than its packet leads to the bytes of the next one."""
    packet = b"\x32\x05\x00\x02tt\x00"
    with pytest.raises(BrokenPacketError) as caught:
        read_publish(bytearray(packet + b"\x32\x05\x00\x01t\x00\x07\x00"), 0, len(packet), 1)
    assert caught.value.packet_id == 0


def test_qos_2_is_refused_for_good() -> None:
    found = read(packed(0x34, b"t", 258, b"\x00", b"x"))
    assert isinstance(found, Refusal)
    assert (found.topic, found.qos, found.packet_id) == ("t", 2, 258)
    packet = pubrec_refused(258)
    answer = _packet.decode_pubrec(packet[0], body_of(packet), V5)
    assert (answer.mid, answer.reason.value) == (258, 0x83)


@given(st.lists(st.integers(1, 268_435_455), max_size=MAX_USER_PROPERTIES), OUTGOING)
def test_subscription_identifiers_are_passed_over(identifiers: list[int], message: Outgoing) -> None:
    own = b"".join(b"\x0b" + bytes(VariableByteIntegers.encode(each)) for each in identifiers)
    size = bytes(VariableByteIntegers.encode(len(own)))
    found = read(packed(0x32, message.topic.encode(), 1, size + own, message.payload))
    assert isinstance(found, Incoming)
    assert (found.topic, found.payload, found.user_properties) == (message.topic, message.payload, ())


class Counted(bytearray):
    """Counts what is looked at: one for each byte that is read by itself, and the bytes of each part."""

    work = 0

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as the base has it
        found = super().__getitem__(key)
        self.work += len(found) if isinstance(key, slice) else 1
        return found


EMPTY_USER = b"\x26\x00\x00\x00\x00"
IDENTIFIER = b"\x0b\x01"


@pytest.mark.parametrize("size", [100_000, 500_000, 1_250_000])
@pytest.mark.parametrize(
    "each", [EMPTY_USER, IDENTIFIER, b"\x26\x00\x01a\x00\x01b"], ids=["user", "identifier", "pairs"]
)
def test_properties_beyond_the_bound_are_refused_unread(each: bytes, size: int) -> None:
    properties = each * (size // len(each))
    packet = packed(0x32, b"t", 7, bytes(VariableByteIntegers.encode(len(properties))) + properties, b"x")
    data = Counted(packet)
    found = read_publish(data, 0, len(data), 1)
    assert isinstance(found, Refusal)
    assert (found.topic, found.qos, found.packet_id) == ("t", 1, 7)
    assert str(len(properties)) in found.reason
    assert data.work <= 20


@pytest.mark.parametrize("each", [EMPTY_USER, IDENTIFIER], ids=["user", "identifier"])
def test_more_properties_than_are_read_are_refused_where_the_count_is_full(each: bytes) -> None:
    most = packed(0x32, b"t", 7, len_of(each * MAX_USER_PROPERTIES), b"x")
    assert isinstance(read(most), Incoming)
    more = Counted(packed(0x32, b"t", 7, len_of(each * (MAX_PROPERTIES_BYTES // len(each))), b"x"))
    found = read_publish(more, 0, len(more), 1)
    assert isinstance(found, Refusal)
    assert str(MAX_USER_PROPERTIES) in found.reason
    assert more.work <= 20 + (MAX_USER_PROPERTIES + 1) * (len(each) + 1)


@given(st.integers(1, 64), st.integers(1, 100))
def test_reading_costs_a_fixed_amount_per_property_and_byte(count: int, length: int) -> None:
    pair = b"\x26" + (length.to_bytes(2, "big") + b"a" * length) * 2
    data = Counted(packed(0x32, b"t", 7, len_of(pair * count), b"x"))
    assert isinstance(read_publish(data, 0, len(data), 1), Incoming)
    assert data.work <= 20 + count * len(pair)


def len_of(properties: bytes) -> bytes:
    """Properties with their length in front."""
    return bytes(VariableByteIntegers.encode(len(properties))) + properties


@given(PACKET_ID)
def test_acknowledgements(packet_id: int) -> None:
    packet = puback(packet_id)
    found = _packet.decode_puback(packet[0], body_of(packet), V5)
    assert (found.mid, found.reason.value) == (packet_id, 0)
    assert read_puback(bytearray(b"x" + packet), 1, 5) == (packet_id, 0, "")


@given(PACKET_ID, st.integers(0, 255), TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_an_acknowledgement_has_any_code_and_may_say_why(
    packet_id: int, code: int, reason: str, user: list[tuple[str, str]]
) -> None:
    properties = Properties(PacketTypes.PUBACK)
    if user:
        properties.UserProperty = user
    properties.ReasonString = reason
    body = packet_id.to_bytes(2, "big") + bytes([code]) + properties.pack()
    packet = b"\x40" + bytes(VariableByteIntegers.encode(len(body))) + body
    before = b"\x40\x02\x00\x01"
    data = bytearray(before + packet + before)
    found = read_puback(data, len(before), len(before) + len(packet))
    assert found == (packet_id, code, reason)


@given(PACKET_ID, st.integers(0, 255), st.binary(max_size=60))
def test_what_follows_the_code_of_an_acknowledgement_decides_nothing(packet_id: int, code: int, rest: bytes) -> None:
    body = packet_id.to_bytes(2, "big") + bytes([code]) + rest
    packet = b"\x40" + bytes(VariableByteIntegers.encode(len(body))) + body
    assert read_puback(bytearray(packet + b"\x40\x02\x00\x01"), 0, len(packet))[:2] == (packet_id, code)


def test_a_long_acknowledgement_is_read_in_bounded_work() -> None:
    body = b"\x00\x01\x97" + len_of(EMPTY_USER * 250_000)
    data = Counted(b"\x40" + bytes(VariableByteIntegers.encode(len(body))) + body)
    assert read_puback(data, 0, len(data)) == (1, 0x97, "")
    assert data.work <= 1000


@pytest.mark.parametrize("packet", [b"\x40\x01\x00", b"\x41\x02\x00\x01", b"\x40\x00"])
def test_a_broken_acknowledgement_says_so(packet: bytes) -> None:
    with pytest.raises(BrokenPacketError):
        read_puback(bytearray(packet), 0, len(packet))


@pytest.mark.parametrize(
    "message",
    [
        Outgoing("", b""),
        Outgoing("a/+", b""),
        Outgoing("a/#", b""),
        Outgoing("a\0", b""),
        Outgoing("t" * 65_536, b""),
        Outgoing("\ud800", b""),
        Outgoing("t", b"", correlation=bytes(65_536)),
        Outgoing("t", b"", expires_in_s=2**32),
        Outgoing("t", bytes(268_435_455)),
    ],
    ids=lambda message: message.topic[:9] or "empty",
)
def test_what_mqtt_cannot_say_is_refused(message: Outgoing) -> None:
    with pytest.raises(BrokerError):
        publish(message, 1)
