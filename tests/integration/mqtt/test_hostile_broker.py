"""FAULT 22: whatever the broker sends, the client disconnects and stays alive."""

from __future__ import annotations

import math
import socket

import pytest

from tests.simulators.hostile_broker import CONNACK, HostileBroker
from tests.simulators.link_owner import LinkOwner
from waspi.errors import (
    BrokerError,
    RefusedByBrokerError,
    SessionTakenOverError,
    UnheardError,
    UnreachableBrokerError,
)
from waspi.mqtt.link import LinkState
from waspi.mqtt.message import Outgoing, ServerLimits


def publish(topic: bytes, properties: bytes, payload: bytes = b"x") -> bytes:
    """A QoS 0 PUBLISH with a topic and properties that may be anything."""
    body = len(topic).to_bytes(2, "big") + topic + bytes([len(properties)]) + properties + payload
    return bytes([0x30, len(body)]) + body


def number(size: int) -> bytes:
    """A Variable Byte Integer of four bytes."""
    return bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21))


CASES = {
    "packet of 256 MB": (b"\x30\xff\xff\xff\x7f", "agreed"),
    "length of five bytes": (b"\x30\xff\xff\xff\xff\x01", "remaining length"),
    "topic that is no UTF-8": (publish(b"\xff\xfe", b""), "broken PUBLISH"),
    "topic alias that nobody asked for": (publish(b"", b"\x23\x00\x01"), "topic alias"),
    "property without its value": (publish(b"t", b"\x02\x00"), "broken PUBLISH"),
    "unknown property": (publish(b"t", b"\x7f\x00"), "broken PUBLISH"),
    "properties longer than the packet": (b"\x30\x05\x00\x01t\x7f\x00", "broken PUBLISH"),
    "topic longer than the packet": (b"\x30\x03\xff\xffx", "broken PUBLISH"),
    "reserved packet type": (b"\x00\x00", "reserved kind"),
    "second CONNACK": (CONNACK + b"\x20\x00", ""),
    "PUBACK for nothing, cut short": (b"\x40\x01\x00", "broken PUBACK"),
    "DISCONNECT with a code that does not exist": (b"\xe0\x01\xf5", "broken DISCONNECT: e0 01 f5"),
    "SUBACK with 100 kB of properties": (
        b"\x90" + number(100_006) + b"\0\x01" + number(100_000) + b"\x26\0\0\0\0" * 20_000,
        "SUBACK of 100011 bytes",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_fault_22_broken_packets_end_the_connection_only(name: str) -> None:
    words, reason = CASES[name]
    broker = HostileBroker(words)
    owner = LinkOwner(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert reason in owner.offline[0].message
        owner.until(lambda: broker.connections >= 2)  # it comes back after its back-off
    finally:
        owner.close()
        broker.close()


def answers(packet_id: int, *code: int) -> bytes:
    return bytes((0x40, 2 + len(code))) + packet_id.to_bytes(2, "big") + bytes(code)


class Publishing(LinkOwner):
    """Publishes two messages as soon as it is online: a large one, and a small one."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        super().on_online(session_present, limits)
        self.link.publish(Outgoing("t/large", bytes(1000)))
        self.link.publish(Outgoing("t/small", b""))


@pytest.mark.parametrize("code", [0, 0x01, 0x10, 0x7F, 0x80, 0x83, 0x87, 0x95, 0x97, 0xFF])
def test_every_code_of_a_puback_is_an_answer(code: int) -> None:
    """< 0x80 is success, 0x80 and above a refusal of that message, whether MQTT 5.0 lists the code or not."""
    broker = HostileBroker(b"", answer=answers(1, code) + answers(2))
    owner = Publishing(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: len(owner.published) == 2)
        (token, refused), taken = owner.published
        assert (token, taken) == (1, (2, None))
        if code == 0x10:
            assert isinstance(refused, UnheardError)
        elif code < 0x80:
            assert refused is None
        else:
            assert isinstance(refused, RefusedByBrokerError)
            assert refused.code == code
            assert f"PUBACK 0x{code:02X}" in refused.message
            assert "t/large" in refused.message
        assert not owner.offline
    finally:
        owner.close()
        broker.close()


def test_the_message_that_a_broker_hangs_up_for_is_named_and_does_not_stand_before_others() -> None:
    broker = HostileBroker(b"", answer=b"\xe0\x01\x95")
    owner = Publishing(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        ((token, refused),) = owner.published
        assert token == 1
        assert refused is not None
        assert refused.final
        assert "DISCONNECT 0x95" in owner.offline[0].message
        assert "t/large" in owner.offline[0].message
    finally:
        owner.close()
        broker.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [(b"\xe0\x01\x8b", "DISCONNECT 0x8B"), (b"\x30\x00", "broken PUBLISH"), (b"", "does the broker take it?")],
    ids=["disconnect", "broken", "silent"],
)
def test_a_second_client_is_not_suspected_where_there_is_another_reason(words: bytes, said: str) -> None:
    broker = HostileBroker(b"", answer=words, hangs_up=True)
    owner = Publishing(broker.url)
    try:
        owner.link.start()
        while len(owner.offline) < 4:
            owner.until(lambda: owner.offline and owner.link.state is LinkState.WAITING)
            owner.link.tick(math.inf)  # no waiting for the back-off
            owner.until(lambda: owner.link.state is not LinkState.CONNECTING)
            owner.until(lambda: not owner.link.online)
        assert said in owner.offline[-1].message
        assert not any(isinstance(each, SessionTakenOverError) for each in owner.offline)
    finally:
        owner.close()
        broker.close()


@pytest.mark.parametrize("greeting", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"], ids=["3.1.1", "5"])
def test_a_broker_of_another_version_is_named_as_such(greeting: bytes) -> None:
    broker = HostileBroker(b"", greeting=greeting)
    owner = LinkOwner(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert "speaks MQTT 3.1.1; waspi needs MQTT 5" in owner.offline[0].message
        assert owner.offline[0].code == 0x84
    finally:
        owner.close()
        broker.close()


def user_properties(size: int) -> bytes:
    """A QoS 1 message to "t" with ``size`` bytes of empty user properties."""
    properties = b"\x26\0\0\0\0" * (size // 5)
    body = b"\0\x01t" + b"\0\x01" + number(len(properties)) + properties + b"x"
    return b"\x32" + number(len(body)) + body


@pytest.mark.parametrize(
    "words",
    [user_properties(100_000), user_properties(1_250_000), user_properties(500), b"\x34\x06\0\x01t\0\x01\0"],
    ids=["100 kB", "1.25 MB", "100 small ones", "QoS 2"],
)
def test_a_message_that_is_not_read_is_acknowledged_once_and_what_follows_is_read(
    words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    follows = b"\x32\x06\0\x01t\0\x02\0" * 1
    broker = HostileBroker(words + words.replace(b"\0\x01t\0\x01", b"\0\x01t\0\x03") + follows)
    owner = LinkOwner(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.messages)
        assert [each.packet_id for each in owner.messages] == [2]
        owner.link.acknowledge(owner.messages[0])
        owner.link.flush()
        expected = {0x32: b"\x40\x02\0\x01\x40\x02\0\x03", 0x34: b"\x50\x04\0\x01\x83\0\x50\x04\0\x03\x83\0"}[words[0]]
        owner.until(lambda: broker.said.endswith(b"\x40\x02\0\x02"))
        assert broker.said == expected + b"\x40\x02\0\x02"
        assert not owner.offline
        assert len([each for each in caplog.messages if "is refused" in each]) == 1
    finally:
        owner.close()
        broker.close()


def test_a_broken_message_is_acknowledged_before_the_connection_ends() -> None:
    """Nobody will ever read it; unacknowledged, it would end every later connection, too."""
    broker = HostileBroker(b"\x32\x06\0\x01\xff\x12\x34\0")
    owner = LinkOwner(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        owner.until(lambda: broker.said)
        assert broker.said == b"\x40\x02\x12\x34"
    finally:
        owner.close()
        broker.close()


def test_pubacks_leave_in_the_order_of_arrival() -> None:
    broker = HostileBroker(flood(10, b"") + b"\x30\x05\0\x01t\0x")
    owner = LinkOwner(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: len(owner.messages) == 10)
        nothing, *others = [owner.link.acknowledge(each) for each in reversed(owner.messages)]
        assert nothing is True  # QoS 0 waits for nothing
        assert others == [False] * 8 + [True]
        owner.until(lambda: len(broker.said) >= 36)
        assert broker.said == b"".join(answers(packet_id) for packet_id in range(1, 10))
    finally:
        owner.close()
        broker.close()


def flood(count: int, payload: bytes) -> bytes:
    """QoS 1 messages that nobody waits for the acknowledgements of: topic "t", no properties."""
    size = 6 + len(payload)
    head = bytes((0x32, size & 0x7F | 0x80, size >> 7))
    return b"".join(head + b"\x00\x01t" + number.to_bytes(2, "big") + b"\x00" + payload for number in range(1, count))


def test_a_broker_that_passes_the_receive_maximum_is_not_read_on() -> None:
    payload = bytes(4096)
    broker = HostileBroker(flood(3000, payload))
    owner = LinkOwner(broker.url, receive_maximum=8, keepalive_s=1)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert "pings" in owner.offline[0].message
        assert 32 <= len(owner.messages) <= 32 + 65_536 // len(payload)
    finally:
        owner.close()
        broker.close()


def test_a_flood_that_has_to_be_read_on_is_dropped_and_has_to_come_again() -> None:
    """With a full window only the broker's answers make room, and they stand behind the flood."""
    broker = HostileBroker(flood(3000, bytes(200)), greeting=b"\x20\x06\x00\x00\x03\x21\x00\x01")
    owner = Publishes(broker.url, receive_maximum=8)
    try:
        owner.link.start()
        owner.until(lambda: len(owner.messages) >= 512)
        for _ in range(20):
            owner.step()
        assert len(owner.messages) == 512
        for message in owner.messages:
            owner.link.acknowledge(message)
        owner.until(lambda: owner.offline)
        assert "2487 messages were dropped" in owner.offline[0].message
    finally:
        owner.close()
        broker.close()


class Publishes(LinkOwner):
    """Fills its window of one as soon as it is online."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        super().on_online(session_present, limits)
        self.link.publish(Outgoing("t", b""))


class SubscribesAndSpeaks(LinkOwner):
    """Says that it is there as soon as it has subscribed."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        super().on_online(session_present, limits)
        self.link.subscribe(["jobs"])
        self.link.publish(Outgoing("presence", b"online"))


def test_a_publish_does_not_overtake_a_subscription() -> None:
    """Who reads that a device is online may send it a job: the broker has to know the subscription by then."""
    server = socket.create_server(("127.0.0.1", 0))
    owner = SubscribesAndSpeaks(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
    try:
        owner.link.start()
        peer, _ = server.accept()
        with peer:
            owner.until(lambda: owner.link.state is LinkState.GREETING)
            peer.sendall(CONNACK)
            owner.until(lambda: owner.link.online)
            said = b""
            while b"online" not in said:
                owner.step()
                said += peer.recv(4096)
            assert 0 < said.index(b"\x00\x04jobs") < said.index(b"\x00\x08presence")
    finally:
        owner.close()
        server.close()


def test_what_the_broker_grants_less_of_is_told_once() -> None:
    """CONNACK with Session Expiry Interval 60 and Maximum QoS 1."""
    greeting = b"\x20\x0a\x00\x00\x07\x11\x00\x00\x00\x3c\x24\x01"
    broker = HostileBroker(b"", greeting=greeting)
    owner = LinkOwner(broker.url)
    try:
        owner.connect()
        assert (owner.limits[0].session_expiry_s, owner.limits[0].max_qos) == (60, 1)
        (told,) = owner.limits[0].differences
        assert "60 s, not for the 604800 s" in told
        owner.link.drop(UnreachableBrokerError("cut by the test"))
        owner.until(lambda: len(owner.limits) == 2)
        assert owner.limits[1].differences == ()
    finally:
        owner.close()
        broker.close()


class RoomSeen(Publishing):
    """Notes the room that there is when an answer comes."""

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        super().on_published(token, refused)
        self.rooms = [*getattr(self, "rooms", []), self.link.room]


def test_a_connection_that_is_over_has_no_room_before_that_is_told() -> None:
    broker = HostileBroker(b"", answer=answers(1) + b"\xe0\x01\x8b")
    owner = RoomSeen(broker.url)
    try:
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert owner.rooms == [0]
    finally:
        owner.close()
        broker.close()
