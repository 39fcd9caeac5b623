"""FAULT 22: whatever the broker sends, the client disconnects and stays alive."""

from __future__ import annotations

import socket

import pytest

from tests.simulators.hostile_broker import CONNACK, HostileBroker
from tests.simulators.link_owner import LinkOwner
from waspi.mqtt.link import LinkState
from waspi.mqtt.message import Outgoing, ServerLimits


def publish(topic: bytes, properties: bytes, payload: bytes = b"x") -> bytes:
    """A QoS 0 PUBLISH with a topic and properties that may be anything."""
    body = len(topic).to_bytes(2, "big") + topic + bytes([len(properties)]) + properties + payload
    return bytes([0x30, len(body)]) + body


CASES = {
    "packet of 256 MB": (b"\x30\xff\xff\xff\x7f", "agreed"),
    "length of five bytes": (b"\x30\xff\xff\xff\xff\x01", "remaining length"),
    "topic that is no UTF-8": (publish(b"\xff\xfe", b""), "broken packet"),
    "topic alias that nobody asked for": (publish(b"", b"\x23\x00\x01"), "topic alias"),
    "property without its value": (publish(b"t", b"\x02\x00"), "broken packet"),
    "unknown property": (publish(b"t", b"\x7f\x00"), "broken packet"),
    "properties longer than the packet": (b"\x30\x05\x00\x01t\x7f\x00", "broken packet"),
    "topic longer than the packet": (b"\x30\x03\xff\xffx", "broken packet"),
    "reserved packet type": (b"\x00\x00", ""),
    "second CONNACK": (CONNACK + b"\x20\x00", ""),
    "PUBACK for nothing, cut short": (b"\x40\x01\x00", ""),
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
