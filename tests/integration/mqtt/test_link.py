"""The session with a real mosquitto: what survives a lost connection, and what does not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.link_owner import LinkOwner
from tests.simulators.mosquitto import Mosquitto, free_port
from waspi.errors import RefusedByBrokerError, SessionTakenOverError, UnheardError, UnreachableBrokerError
from waspi.mqtt.link import LinkState
from waspi.mqtt.message import Outgoing


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def owners() -> Iterator[list[LinkOwner]]:
    made: list[LinkOwner] = []
    yield made
    for owner in made:
        owner.close()


def connected(owners: list[LinkOwner], url: str, client_id: str, *filters: str, **settings: object) -> LinkOwner:
    owner = LinkOwner(url, client_id, filters=filters, **settings)
    owners.append(owner)
    owner.connect()
    return owner


def test_a_message_keeps_its_properties(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", "t/#")
    sent = Outgoing(
        "t/a",
        b"\x00\xff",
        reply_to="reply/a",
        correlation=b"\x01",
        expires_in_s=60,
        content_type="application/cbor",
        user_properties=(("a", "1"), ("a", "2")),
    )
    owner.link.publish(sent)
    owner.until(lambda: owner.messages and owner.published)
    got = owner.messages[0]
    assert (got.topic, got.payload, got.qos, got.retain, got.dup) == ("t/a", b"\x00\xff", 1, False, False)
    assert (got.reply_to, got.correlation, got.content_type) == ("reply/a", b"\x01", "application/cbor")
    assert got.user_properties == (("a", "1"), ("a", "2"))
    assert got.expires_in_s == 60
    assert owner.published == [(1, None)]


def test_a_retained_message_says_so_on_a_live_subscription(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", "t/#")
    owner.link.publish(Outgoing("t/a", b"state", retain=True))
    owner.until(lambda: owner.messages)
    assert owner.messages[0].retain


def test_nodelay_is_set(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one")
    connection = owner.link._connection
    assert connection is not None
    sock = connection.stream._sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_message_without_a_subscriber_is_unheard(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "speaker", "heard/#")
    owner.link.publish(Outgoing("nobody/hears", b"x"))
    owner.link.publish(Outgoing("heard/by/itself", b"x"))
    owner.until(lambda: len(owner.published) == 2)
    assert isinstance(owner.published[0][1], UnheardError)
    assert owner.published[1][1] is None


def test_what_was_not_acknowledged_comes_again_with_dup(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    receiver = connected(owners, broker.url, "receiver", "t/#")
    sender = connected(owners, broker.url, "sender")
    sender.link.publish(Outgoing("t/a", b"once"))
    sender.until(lambda: sender.published)
    receiver.until(lambda: receiver.messages)
    first = receiver.messages[0]
    receiver.link.drop(UnreachableBrokerError("cut by the test"))
    receiver.until(lambda: len(receiver.messages) == 2)
    again = receiver.messages[1]
    assert receiver.sessions == [False, True]
    assert (again.dup, again.packet_id, again.payload) == (True, first.packet_id, first.payload)


def test_an_acknowledgement_of_an_earlier_connection_is_dropped(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    receiver = connected(owners, broker.url, "receiver", "t/#")
    sender = connected(owners, broker.url, "sender")
    sender.link.publish(Outgoing("t/a", b"first"))
    sender.until(lambda: sender.published)
    receiver.until(lambda: receiver.messages)
    stale = receiver.messages[0]
    receiver.link.drop(UnreachableBrokerError("cut by the test"))
    receiver.until(lambda: len(receiver.messages) == 2)
    assert receiver.link.acknowledge(stale) is False
    receiver.link.drop(UnreachableBrokerError("cut by the test"))
    receiver.until(lambda: len(receiver.messages) == 3)  # had the stale one counted, nothing would come
    assert receiver.link.acknowledge(receiver.messages[2]) is True


def test_fault_12_the_servers_receive_maximum_is_never_passed(tmp_path: Path, owners: list[LinkOwner]) -> None:
    with Mosquitto(tmp_path / "narrow", inflight=1) as narrow:
        owner = connected(owners, narrow.url, "one", "t/#")
        assert owner.limits[0].receive_maximum == 1
        most = 0
        for number in range(50):
            owner.until(lambda: owner.link.room > 0)
            owner.link.publish(Outgoing("t/a", str(number).encode()))
            assert owner.link._connection is not None
            most = max(most, len(owner.link._connection.in_flight))
            assert owner.link.room == 0
            owner.step(0)
            for message in owner.messages[number:]:
                owner.link.acknowledge(message)
        owner.until(lambda: len(owner.published) == 50)
        assert most == 1


def test_a_restarted_broker_is_found_again(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", "t/#")
    broker.kill()
    owner.until(lambda: owner.offline)
    broker.start()
    owner.until(lambda: owner.link.online and len(owner.subscribed) == 2)
    owner.link.publish(Outgoing("t/a", b"after"))
    owner.until(lambda: owner.messages)


def test_a_frozen_broker_is_noticed_by_its_silence(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", keepalive_s=1)
    broker.freeze()
    owner.until(lambda: owner.offline)
    broker.thaw()
    owner.until(lambda: owner.link.online)


def test_no_broker_is_unreachable_and_tried_again(tmp_path: Path, owners: list[LinkOwner]) -> None:
    port = free_port()
    owner = LinkOwner(f"mqtt://127.0.0.1:{port}")
    owners.append(owner)
    owner.link.start()
    owner.until(lambda: owner.offline)
    assert isinstance(owner.offline[0], UnreachableBrokerError)
    assert "Connection refused" in owner.offline[0].message
    assert owner.link.state is LinkState.WAITING
    with Mosquitto(tmp_path / "late", port=port):
        owner.until(lambda: owner.link.online)


def test_a_port_that_speaks_no_mqtt_is_given_up(owners: list[LinkOwner]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        owner = LinkOwner(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.2)
        owners.append(owner)
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert "no CONNACK" in owner.offline[0].message


def test_a_wrong_password_is_told_and_not_tried_in_a_hot_loop(tmp_path: Path, owners: list[LinkOwner]) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    passwords.chmod(0o600)
    extra = f"allow_anonymous false\npassword_file {passwords}\nuser root\n"
    with Mosquitto(tmp_path / "closed", extra=extra) as closed:
        owner = LinkOwner(closed.url, "one", username="who", password="wrong")  # noqa: S106 - wrong on purpose
        owners.append(owner)
        owner.link.start()
        owner.until(lambda: owner.offline)
        assert isinstance(owner.offline[0], RefusedByBrokerError)
        assert "password" in owner.offline[0].message
        due = owner.link.next_deadline()
        assert due is not None
        assert due - time.monotonic() > 4


def test_a_second_client_with_the_same_id_is_told_and_not_fought(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    first = connected(owners, broker.url, "twin")
    second = connected(owners, broker.url, "twin")

    def both_step() -> bool:
        second.step(0)
        return any(isinstance(each, SessionTakenOverError) for each in first.offline + second.offline)

    first.until(both_step)
    gave_up = first if isinstance(first.offline[-1], SessionTakenOverError) else second
    assert "'twin'" in gave_up.offline[-1].message
    due = gave_up.link.next_deadline()
    assert due is not None
    assert due - time.monotonic() > 25
    assert len(first.offline) + len(second.offline) <= 7


def test_what_the_broker_finds_too_large_is_refused_and_the_rest_goes_on(
    tmp_path: Path, owners: list[LinkOwner]
) -> None:
    """mosquitto's ``message_size_limit`` answers with a code that MQTT 5.0 does not list for a PUBACK."""
    with Mosquitto(tmp_path / "small", extra="allow_anonymous true\nmessage_size_limit 1000\n") as small:
        owner = connected(owners, small.url, "one", "t/#")
        owner.link.publish(Outgoing("t/large", bytes(2000)))
        owner.link.publish(Outgoing("t/small", b"x"))
        owner.until(lambda: len(owner.published) == 2 and owner.messages)
        (_, refused), (_, taken) = owner.published
        assert isinstance(refused, RefusedByBrokerError)
        assert refused.code == 0x95
        assert refused.final
        assert "PUBACK 0x95" in refused.message
        assert "t/large" in refused.message
        assert taken is None
        assert [each.topic for each in owner.messages] == ["t/small"]
        assert not owner.offline


def test_what_is_larger_than_the_broker_said_is_not_sent(tmp_path: Path, owners: list[LinkOwner]) -> None:
    with Mosquitto(tmp_path / "small", extra="allow_anonymous true\nmax_packet_size 1000\n") as small:
        owner = connected(owners, small.url, "one", "t/#")
        assert owner.limits[0].max_packet_bytes == 1000
        with pytest.raises(RefusedByBrokerError, match="1000 bytes") as caught:
            owner.link.publish(Outgoing("t/a", bytes(1000)))
        assert caught.value.final
        fits = 1000 - 3 - 5 - 2 - 1  # fixed header, topic, packet identifier, no properties
        owner.link.publish(Outgoing("t/a", bytes(fits)))
        owner.until(lambda: owner.messages and owner.published)
        assert owner.published[0][1] is None
        assert not owner.offline


def test_a_publish_that_the_access_list_forbids_names_topic_and_code(tmp_path: Path, owners: list[LinkOwner]) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write allowed/#\n")
    with Mosquitto(tmp_path / "ruled", extra=f"allow_anonymous true\nacl_file {rules}\nuser root\n") as ruled:
        owner = connected(owners, ruled.url, "one", "allowed/#")
        owner.link.publish(Outgoing("forbidden/a", b"x"))
        owner.until(lambda: owner.published)
        refused = owner.published[0][1]
        assert refused is not None
        assert refused.code == 0x87
        assert not refused.final
        assert "forbidden/a" in refused.message
        assert "access list" in refused.message


def test_a_session_keeps_to_the_filters_that_are_wanted(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", "mine", "left")
    owner.link.subscribe_only(["mine", "joined"])
    owner.until(lambda: len(owner.subscribed) == 2)
    for topic in ("left", "mine", "joined"):
        owner.link.publish(Outgoing(topic, b"x"))
    owner.until(lambda: len(owner.published) == 3 and len(owner.messages) == 2)
    assert [each.topic for each in owner.messages] == ["mine", "joined"]
    assert isinstance(owner.published[0][1], UnheardError)
    owner.link.subscribe_only(["mine", "joined"])
    assert len(owner.subscribed) == 2  # nothing new to ask for


def test_what_an_earlier_process_subscribed_to_is_left(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    earlier = connected(owners, broker.url, "one", "mine", "left")
    earlier.link.close(with_will=True)
    owners.remove(earlier)
    owner = LinkOwner(broker.url, "one")
    owners.append(owner)
    owner.connect()
    assert owner.sessions == [True]
    owner.link.subscribe_only(["mine"], had=["mine", "left"])
    owner.until(lambda: owner.subscribed)
    for topic in ("left", "mine"):
        owner.link.publish(Outgoing(topic, b"x"))
    owner.until(lambda: len(owner.published) == 2 and owner.messages)
    assert [each.topic for each in owner.messages] == ["mine"]


def test_another_address_is_tried_when_one_is_silent(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    gone = f"mqtt://127.0.0.1:{free_port()}"
    owner = LinkOwner(f"{gone},127.0.0.1:{broker.port}")
    owners.append(owner)
    owner.connect()
    assert str(owner.link.address) == broker.url
    assert len(owner.offline) == 1
    assert gone in owner.offline[0].message


def test_a_large_message_passes_in_parts(broker: Mosquitto, owners: list[LinkOwner]) -> None:
    owner = connected(owners, broker.url, "one", "t/#")
    payload = bytes(range(256)) * 16_384
    owner.link.publish(Outgoing("t/a", payload))
    owner.until(lambda: owner.messages and owner.published)
    assert owner.messages[0].payload == payload
