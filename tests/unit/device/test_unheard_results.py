"""Results that the broker takes while nobody is subscribed to them (MQTT 5.0, 3.4.2.1, reason 0x10)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulation.world import World
from waspi.mqtt.message import Outgoing


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.connect()
    yield made
    made.close()


def _run(world: World, *, plain: bool = False) -> None:
    world.send(plain=plain, priority=0, lives_s=None)
    world._exhaust()


def _nobody_listens(world: World) -> list[float]:
    """Moments at which results were sent, from now on."""
    told: list[float] = []

    def unheard(message: Outgoing) -> bool:
        if not message.topic.startswith("reply/"):
            return False
        told.append(world.device.time.monotonic())
        return True

    world.device.broker.unheard = unheard
    return told


def _rows(world: World) -> int:
    """Results that still have to reach the broker."""
    agent = world.device.agent
    return sum(row.id not in agent._outbox._sent for row in agent._journal.reader.outbox())


@pytest.mark.parametrize("plain", [False, True])
def test_fault_07_a_result_waits_for_a_subscriber_that_comes_back_later(world: World, *, plain: bool) -> None:
    world.device.broker.unheard = lambda message: message.topic.startswith("reply/")
    _run(world, plain=plain)
    assert world.sent["job-0"].answers == []
    assert _rows(world) == 1
    world.device.broker.unheard = lambda _message: False
    for _ in range(3):
        world.advance(world.device.idle_for() + 0.001)
        world._exhaust()
    assert len(world.sent["job-0"].answers) == 1
    assert _rows(world) == 0


def test_nobody_is_waited_for_longer_than_a_minute(world: World) -> None:
    told = _nobody_listens(world)
    begin = world.device.time.monotonic()
    _run(world)
    while _rows(world):
        world.advance(world.device.idle_for() + 0.001)
        world._exhaust()
    assert 60.0 <= told[-1] - begin < 70.0
    gaps = [after - before for before, after in pairwise(told)]
    assert max(gaps) < 9.0
    assert len(told) < 20


def test_later_on_a_result_that_nobody_wants_is_sent_once(world: World) -> None:
    world.advance(61.0)
    told = _nobody_listens(world)
    _run(world)
    assert len(told) == 1
    assert _rows(world) == 0
