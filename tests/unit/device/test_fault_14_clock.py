"""FAULT 14: the clock is set back ten years, and forward: expiry and the time floor hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.simulation.world import World, quick_folder
from tests.simulators.virtual_device import DEVICE
from waspi.device.clock import RELEASED, Clock
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.topics import Topics

TEN_YEARS_S = 10 * 365 * 86_400.0


@pytest.fixture
def world() -> Iterator[World]:
    folder = quick_folder()
    made = World(folder)
    made.connect()
    yield made
    made.close()
    shutil.rmtree(folder)


def test_fault_14_a_clock_that_was_never_set_is_not_before_the_release() -> None:
    clock = Clock(wall=lambda: 0.0, monotonic=lambda: 5.0)
    assert clock.now() == RELEASED
    assert not clock.plausible
    assert Clock().plausible, "this machine's clock is behind the release"


def test_fault_14_the_floor_rises_with_signed_metadata_and_with_time() -> None:
    passed = [0.0]
    clock = Clock(wall=lambda: 0.0, monotonic=lambda: passed[0])
    clock.raise_floor(RELEASED + 1000)
    passed[0] = 60.0
    assert clock.now() == RELEASED + 1060
    clock.raise_floor(RELEASED)
    assert clock.now() == RELEASED + 1060


def test_fault_14_a_job_that_expired_does_not_come_alive_when_the_clock_is_set_back(world: World) -> None:
    time = world.device.time
    expired = Job("old", NamedModule("echo"), (b"old",), expires_at=RELEASED - 1.0)
    time.set_wall(time.wall() - TEN_YEARS_S)
    answers: list[bytes] = []
    world.device.link.on_acknowledge = lambda _message: None
    world.device.broker._on_publish = lambda message: (
        answers.append(message.payload) if message.topic == "reply/old" else None
    )
    world.device.broker.deliver(
        Topics("default").device_job(DEVICE),
        encode_job(expired),
        reply_to="reply/old",
        correlation=b"old",
        retain=False,
    )
    world.heal()
    assert len(answers) == 1
    assert JobState.EXPIRED.encode() in answers[0]
    assert not world.device.starts


@pytest.mark.parametrize("step_s", [-TEN_YEARS_S, TEN_YEARS_S])
def test_fault_14_jobs_without_an_expiry_do_not_care(world: World, step_s: float) -> None:
    time = world.device.time
    for number in range(6):
        world.send(plain=number % 2 == 0, priority=0, lives_s=None)
        world.carry_down()
        world.commit()
        if number == 2:
            time.set_wall(time.wall() + step_s)
    world.crash()
    world.check()
    assert all(sent.states[0] is not JobState.EXPIRED for sent in world.sent.values())


def test_fault_14_set_forward_a_waiting_job_expires_and_is_told(world: World) -> None:
    time = world.device.time
    for _ in range(3):  # two workers: the third waits
        world.send(plain=False, priority=0, lives_s=600.0)
        world.carry_down()
        world.commit()
        world.turn()
    time.set_wall(time.wall() + TEN_YEARS_S)
    world.check()
    assert [sent.states[0] for sent in world.sent.values()][2] is JobState.EXPIRED


def test_fault_14_an_expiry_holds_although_the_clock_is_set_back_while_the_job_waits(world: World) -> None:
    """Seconds that have passed on this device count, whatever the wall clock says."""
    time = world.device.time
    for _ in range(3):
        world.send(plain=False, priority=0, lives_s=600.0)
        world.carry_down()
        world.commit()
        world.turn()
    time.set_wall(time.wall() - 3600.0)
    time.advance(601.0)
    world.check()
    assert [sent.states[0] for sent in world.sent.values()][2] is JobState.EXPIRED
