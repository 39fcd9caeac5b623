"""FAULT 43: floods of QoS 0, of queries and of refused jobs, at a full disk and over a slow uplink: memory stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.world import World
from tests.simulators.virtual_device import DEVICE, MODULE
from waspi.device import intake, outbox
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.mqtt.message import Incoming
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.sync import encode_sync_query
from waspi.protocol.topics import Topics

TOPICS = Topics("default")
FLOOD = 3_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.connect()
    yield made
    made.close()


def throw(world: World, topic: str, payload: bytes, number: int, *, qos: int = 0) -> None:
    """A message of a publisher that does not wait; nothing that the device says gets through meanwhile."""
    device = world.device
    message = Incoming(
        topic, payload, qos, False, False, number % 65_535 + 1, device.link.connection_number, f"reply/{number}"
    )
    device.agent.on_message(message)
    if number % 50 == 0:
        device.turn()


def passing(world: World) -> tuple[int, int]:
    """Answers that wait for the uplink: how many, and their bytes."""
    waiting = world.device.agent._outbox._passing
    return len(waiting), sum(len(message.payload) for message, _ in waiting)


def bounded(world: World) -> None:
    number, size = passing(world)
    assert number <= outbox._PASSING + 2
    assert size <= outbox._PASSING_BYTES + 70_000
    agent = world.device.agent
    assert agent._jobs.unkept <= intake._UNKEPT
    assert agent._jobs.unkept_bytes <= intake._UNKEPT_BYTES + 1_000_000
    assert len(agent._intake._held) == 0, "QoS 0 is never held"


def job(number: int, data: bytes = b"x", module: str = MODULE) -> bytes:
    return encode_job(Job(f"flood-{number}", NamedModule(module), (data,)))


def test_fault_43_queries_over_a_slow_uplink(world: World) -> None:
    for number in range(FLOOD):
        throw(world, TOPICS.sync_query(DEVICE), encode_sync_query([f"job-{n}" for n in range(100)]), number)
        bounded(world)
    assert passing(world)[0] > 100


def test_fault_43_refused_jobs_over_a_slow_uplink(world: World) -> None:
    for number in range(FLOOD):
        throw(world, TOPICS.device_job(DEVICE), job(number, module="nothing"), number)
        bounded(world)
    assert passing(world)[0] > 100


def test_fault_43_jobs_of_qos_0_while_no_worker_is_free(world: World) -> None:
    """They wait on the disk, up to the quota of the queue, and no job of QoS 1 is turned away before that."""
    for number in range(FLOOD):
        throw(world, TOPICS.device_job(DEVICE), job(number, bytes(2000)), number)
        bounded(world)
        if number % 100 == 0:
            world.commit()
            world.advance(0.03)
    agent = world.device.agent
    assert len(agent._jobs._jobs) < 1_000
    assert agent._journal.usage.open > 500


def test_fault_43_jobs_of_qos_0_at_a_full_disk(world: World) -> None:
    for number in range(FLOOD):
        throw(world, TOPICS.device_job(DEVICE), job(number, bytes(50_000)), number)
        bounded(world)
        if number % 100 == 0:
            world.refuse()
            world.advance(0.03)
    assert len(world.device.agent._jobs._jobs) <= intake._UNKEPT


def test_fault_43_what_came_with_qos_1_is_answered_after_the_flood(world: World) -> None:
    for number in range(600):
        throw(world, TOPICS.device_job(DEVICE), job(number, module="nothing"), number)
    world.send(plain=False, priority=0, lives_s=None)
    world.device.broker._on_publish = lambda message: (
        world._on_publish(message) if message.topic == "reply/job-0" else None
    )
    world.check()
    assert len(world.sent["job-0"].answers) == 1
