"""Answers to calls for the device's state, which no window bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.world import World
from waspi.mqtt.message import Outgoing, ServerLimits
from waspi.protocol.state_call import StateCall, encode_state_call
from waspi.protocol.topics import Topics

TOPICS = Topics("default")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def call(world: World) -> list[Outgoing]:
    """Everybody is asked for its state; what the device answers."""
    answers: list[Outgoing] = []
    world.device.broker._on_publish = lambda message: answers.append(message) if "reply" in message.topic else None
    payload = encode_state_call(StateCall(0))
    world.device.broker.deliver(TOPICS.state_call, payload, reply_to="reply/state", correlation=b"1", retain=False)
    world._exhaust()
    return answers


def test_a_call_is_answered(world: World) -> None:
    world.connect()
    assert len(call(world)) == 1


def test_an_answer_that_fits_into_no_packet_of_this_broker_ends_nothing(world: World) -> None:
    world.device.broker.limits = ServerLimits(receive_maximum=4, max_packet_bytes=100)
    world.connect()
    assert call(world) == []
    assert world.device.link.online


def test_fault_43_answers_do_not_pile_up_before_a_slow_uplink(world: World) -> None:
    world.connect()
    world.device.link.blocked = True
    assert call(world) == []
    world.device.link.blocked = False
    assert len(call(world)) == 1
