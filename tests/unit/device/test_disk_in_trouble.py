"""While the disk takes neither modules nor jobs: nothing grows or spins, trouble is told once, no cancel is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.world import World
from tests.simulators.virtual_device import DEVICE, MODULE
from waspi.errors import Fault, StorageError
from waspi.model.job import Job
from waspi.model.module import InlineModule, NamedModule
from waspi.model.result import JobError
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.topics import Topics
from waspi.sandbox.task import Done

TOPICS = Topics("default")
FULL = JobError(Fault.DEVICE, StorageError.kind, "no space left on the device")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.connect()
    yield made
    made.close()


def throw(world: World, topic: str, payload: bytes, *, qos: int, packet_id: int = 1) -> None:
    connection = world.device.link.connection_number
    world.device.agent.on_message(Incoming(topic, payload, qos, False, False, packet_id, connection, "reply/x"))


def start_and_fail(world: World) -> str:
    """A job starts, and its module's artifact finds no room on the disk; its id."""
    world.send(plain=False, priority=0, lives_s=None)
    world.carry_down()
    (job_id,) = world.device.pool.inside
    world.device.pool._ended.append(Done(job_id, (), FULL, JobState.FAILED))
    return job_id


def test_repeated_jobs_and_cancels_of_a_job_that_the_disk_does_not_take_are_bounded(world: World) -> None:
    body = encode_job(Job("flood", NamedModule(MODULE), (b"x",)))
    for number in range(200):
        if number % 20 == 0:
            world.cut()
            world.connect()
        throw(world, TOPICS.device_job(DEVICE), body, qos=number % 2, packet_id=900 + number % 20)
    throw(world, TOPICS.cancel(DEVICE, "flood"), b"", qos=0)
    for _ in range(200):
        throw(world, TOPICS.cancel(DEVICE, "flood"), b"", qos=0)
    job = world.device.agent._jobs.find("flood")
    assert job is not None
    assert len(job.messages) <= 1 + 10
    assert len(job.cancels) <= 1


def test_a_cancel_holds_for_a_job_that_comes_back_from_the_pool_unbegun(world: World) -> None:
    job_id = start_and_fail(world)
    world.cancel(0)
    world.carry_down()
    world.check()
    assert world.sent[job_id].states == [JobState.CANCELED]
    assert decode_result(world.sent[job_id].answers[0]).attempt == 0


def test_the_loop_sleeps_while_neither_modules_nor_jobs_get_to_the_disk(world: World) -> None:
    start_and_fail(world)
    world.send(plain=False, priority=0, lives_s=None)
    world.carry_down()
    world.device.pool.tick(0.0)
    for _ in range(12):
        world.device.disk.refuses = True
        world.commit()
        world.advance(1.0)
    turns = 0
    while world.device.turn():
        turns += 1
        assert turns < 50, "the loop spins"
    assert world.device.agent._writer.trouble is not None
    assert world.device.idle_for() > 0.0


def test_trouble_with_modules_is_told_once_and_tried_ever_more_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def store(_wasm: bytes, _background: object, then: Any) -> None:  # noqa: ANN401 - its type is the catalog's own
        tries.append(world.device.time.monotonic())
        error = StorageError("no space left on the device")
        error.__cause__ = OSError(28, "no space left on the device")
        waiting.append(lambda: then(None, error))

    waiting: list[Any] = []
    monkeypatch.setattr(world.device.agent._catalog, "store", store)
    job = Job("inline", InlineModule(b"\0asm\1\0\0\0" + bytes(20)), (b"x",))
    throw(world, TOPICS.device_job(DEVICE), encode_job(job), qos=1)
    for _ in range(600):
        world.advance(0.5)
        while waiting:
            waiting.pop()()
            world.device.step()
    assert 2 < len(tries) < 40
    assert sum("no jobs are taken" in record.message for record in caplog.records) == 1
    assert not any("takes writes again" in record.message for record in caplog.records)


def test_a_cancel_of_a_job_whose_module_the_disk_does_not_take_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, waiting = world.device, list[Any]()
    error = StorageError("no space left on the device")
    error.__cause__ = OSError(28, "no space left on the device")
    catalog = device.agent._catalog
    store = catalog.store
    monkeypatch.setattr(catalog, "store", lambda _wasm, _background, then: waiting.append(then))
    job = Job("inline", InlineModule(b"\0asm\1\0\0\0" + bytes(20)), (b"x",))
    throw(world, TOPICS.device_job(DEVICE), encode_job(job), qos=1)
    waiting.pop()(None, error)
    throw(world, TOPICS.cancel(DEVICE, "inline"), b"", qos=1, packet_id=2)
    world.advance(40.0)
    waiting.pop()(None, error)  # the disk refuses once more
    at_once: Any = SimpleNamespace(do=lambda work, then: then(work(), None))
    monkeypatch.setattr(catalog, "store", lambda wasm, _background, then: store(wasm, at_once, then))
    monkeypatch.setattr(device.link, "acknowledge", lambda _message: True)
    for _ in range(40):
        world.advance(1.0)
        device.disk.commit()
    row = world._journaled("inline")
    assert row is not None
    assert row.state is JobState.CANCELED


def test_a_cancel_right_behind_a_large_job_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's hash is still with the thread when the cancel comes."""
    device, given = world.device, list[Any]()
    monkeypatch.setattr(device.agent._background, "do", lambda work, then: given.append((work, then)))
    monkeypatch.setattr(device.link, "acknowledge", lambda _message: True)
    body = encode_job(Job("large", NamedModule(MODULE), (bytes(300_000),)))
    throw(world, TOPICS.device_job(DEVICE), body, qos=1)
    throw(world, TOPICS.cancel(DEVICE, "large"), b"", qos=1, packet_id=2)
    for work, then in given:
        then(work(), None)
    for _ in range(10):
        world.advance(1.0)
        device.disk.commit()
    row = world._journaled("large")
    assert row is not None
    assert row.state is JobState.CANCELED


def test_large_jobs_of_qos_0_do_not_pile_up_before_a_stuck_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr(world.device.agent._background, "do", lambda work, _then: given.append(work))
    for number in range(100):
        body = encode_job(Job(f"large-{number}", NamedModule(MODULE), (bytes(300_000),)))
        throw(world, TOPICS.device_job(DEVICE), body, qos=0)
    assert len(given) < 10
