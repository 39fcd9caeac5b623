"""The quick reader and writer say what paho's say, and leave the rest to paho."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from waspi.errors import BrokerError
from waspi.mqtt.message import Incoming, Outgoing
from waspi.mqtt.packet import puback, publish, read_puback, read_publish

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
RARE = st.fixed_dictionaries(
    {}, optional={"TopicAlias": st.integers(1, 65_535), "SubscriptionIdentifier": st.integers(1, 268_435_455)}
)


def body_of(packet: bytes) -> bytes:
    """What follows the fixed header."""
    length, size = VariableByteIntegers.decode(packet[1:])
    assert length == len(packet) - 1 - size
    return packet[1 + size :]


def read(packet: bytes) -> Incoming | None:
    """Read it from amid others, as it stands in a stream."""
    before, after = b"\x30\x05\x00\x01t\x00x", b"\x30\x7f" + bytes(130)
    return read_publish(bytearray(before + packet + after), len(before), len(before) + len(packet), 7)


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
    except (_packet.MalformedPacket, UnicodeDecodeError):
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
    found = read(packet)
    if found is not None:
        assert found == read_by_paho(packet)


@given(OUTGOING, PACKET_ID, st.data())
def test_a_damaged_packet_is_read_as_paho_reads_it_or_left_to_it(
    message: Outgoing, packet_id: int, data: st.DataObject
) -> None:
    packet = bytearray(publish(message, packet_id))
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(len(packet) - len(body_of(publish(message, packet_id))), len(packet) - 1))] = (
            data.draw(st.integers(0, 255))
        )
    found = read(bytes(packet))
    if found is not None:
        assert found == read_by_paho(bytes(packet))


@given(RARE.filter(bool))
def test_what_nobody_asked_for_is_left_to_paho(values: dict[str, object]) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    assert read(packed(0x32, b"t", 1, properties.pack(), b"")) is None


@pytest.mark.parametrize(
    ("first", "topic", "packet_id", "properties"),
    [
        (0x34, b"t", 1, b"\x00"),  # QoS 2
        (0x36, b"t", 1, b"\x00"),
        (0x32, b"t", 0, b"\x00"),
        (0x32, b"", 1, b"\x00"),
        (0x30, b"\xff", 0, b"\x00"),
        (0x30, b"t", 0, b"\x05\x03\x00\x02\xff\xfe"),
        (0x30, b"t", 0, b"\x04\x08\x00\x01\x00"),
        (0x30, b"t", 0, b"\x08\x09\x00\x01a\x09\x00\x01b"),
        (0x30, b"t", 0, b"\x04\x01\x00\x01\x00"),
        (0x30, b"t", 0, b"\x02\x01\x02"),
        (0x30, b"t", 0, b"\x7f"),
    ],
)
def test_what_is_wrong_is_left_to_paho(first: int, topic: bytes, packet_id: int, properties: bytes) -> None:
    assert read(packed(first, topic, packet_id, properties, b"")) is None


@given(PACKET_ID)
def test_acknowledgements(packet_id: int) -> None:
    packet = puback(packet_id)
    found = _packet.decode_puback(packet[0], body_of(packet), V5)
    assert (found.mid, found.reason.value) == (packet_id, 0)
    assert read_puback(bytearray(b"x" + packet), 1, 5) == packet_id


@pytest.mark.parametrize(
    "packet", [b"\x40\x03\x00\x01\x87", b"\x40\x01\x00", b"\x41\x02\x00\x01", b"\x40\x82\x00\x00\x01"]
)
def test_other_acknowledgements_are_left_to_paho(packet: bytes) -> None:
    assert read_puback(bytearray(packet), 0, len(packet)) is None


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
