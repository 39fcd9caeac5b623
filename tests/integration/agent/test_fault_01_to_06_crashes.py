"""FAULTS 1-5 one by one: the agent dies at a named point of a job's life (6: tests/crash/agent)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faultfs import Mode
from tests.integration.agent.fault_world import FaultWorld
from tests.simulators.mosquitto import Mosquitto
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState

OUTPUT = b"x<---- This is your string"


def job(job_id: str) -> Job:
    return Job(job_id, NamedModule("append"), (b"x",))


@pytest.fixture
def world(tmp_path: Path, broker: Mosquitto, append_wasm: bytes) -> Iterator[FaultWorld]:
    fuel = f"[limits]\nfuel = {1 << 60}\n"  # a loop ends by time alone, however fast the machine is
    made = FaultWorld(tmp_path / "pi-1", broker, append_wasm, rest=fuel)
    yield made
    made.close()


def answered_once(world: FaultWorld, job_id: str, *, runs: int = 1) -> None:
    result = world.publisher.result(job_id)
    assert (result.state, result.outputs) == (JobState.SUCCEEDED, (OUTPUT,))
    world.publisher.settle()
    assert len(set(world.publisher.results_of(job_id))) == 1
    assert world.agent.runs()[job_id] == runs


def test_fault_01_killed_before_the_commit(world: FaultWorld) -> None:
    """Nobody has seen anything of the run: the job is redelivered and runs again."""
    job_id = world.die_where(job, lambda name: world.journaled(name) is None and world.agent.runs()[name] == 1)
    world.start()
    answered_once(world, job_id, runs=2)
    assert world.publisher.result(job_id).attempt == 2


def test_fault_02_killed_after_the_commit_before_the_acknowledgement(world: FaultWorld) -> None:
    def taken(name: str) -> bool:
        row = world.journaled(name)
        return row is not None and row.state.final

    job_id = world.die_where(job, taken)
    world.start()
    answered_once(world, job_id)


def long_job(loop_wasm: bytes) -> Job:
    return Job("long", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=2_000))


def test_fault_03_killed_while_the_guest_runs(world: FaultWorld, loop_wasm: bytes) -> None:
    publisher = world.publisher
    publisher.send(long_job(loop_wasm))
    publisher.until(lambda: world.agent.runs()["long"] == 1 and world.journaled("long") is not None)
    world.kill_now()
    world.start()
    result = publisher.result("long")
    assert (result.state, result.attempt) == (JobState.TIMED_OUT, 2)
    assert world.agent.runs()["long"] == 2


@pytest.mark.parametrize("kept", [True, False], ids=["after its receipt", "before its receipt"])
def test_fault_03_the_third_time_that_a_job_takes_the_board_down_is_the_last(
    world: FaultWorld, loop_wasm: bytes, *, kept: bool
) -> None:
    publisher = world.publisher
    publisher.send(long_job(loop_wasm))
    for life in range(3):
        publisher.until(
            lambda runs=life + 1: (
                world.agent.runs()["long"] == runs and (not kept or world.journaled("long") is not None)
            )
        )
        world.kill_now()
        if life == 0:
            publisher.send(job("innocent"))
        world.start()
    result = publisher.result("long")
    assert result.error is not None
    assert (result.state, result.error.kind, result.attempt) == (JobState.FAILED, "crashed-device", 3)
    assert (result.error.fault, world.agent.runs()["long"]) == ("device", 3)
    innocent = publisher.result("innocent")
    assert innocent.state is JobState.SUCCEEDED, "no other job ends because of a crash"


def test_a_start_that_an_orderly_stop_cut_short_does_not_count(world: FaultWorld, loop_wasm: bytes) -> None:
    publisher = world.publisher
    publisher.send(Job("long", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=10_000)))
    for life in range(4):
        publisher.until(lambda runs=life + 1: world.agent.runs()["long"] == runs)
        publisher.until(lambda: world.journaled("long") is not None)
        assert world.agent.stop() == 0
        row = world.journaled("long")
        assert row is not None
        assert (row.state, row.attempt) == (JobState.QUEUED, 0)
        world.start()


def test_fault_04_killed_after_the_results_commit_before_it_is_published(world: FaultWorld) -> None:
    job_id = world.die_where(job, lambda name: name in world.unsent() and not world.publisher.results_of(name))
    world.start()
    answered_once(world, job_id)


def test_fault_05_killed_between_the_results_acknowledgement_and_its_rows_end(world: FaultWorld) -> None:
    name = "job"
    world.publisher.send(job(name))
    world.publisher.result(name)
    world.publisher.settle()
    world.kill_now()
    assert world.unsent() == [name], "its row waits for the next job's commit"
    world.start()
    world.publisher.until(lambda: len(world.publisher.results_of(name)) == 2)
    first, again = (message.payload for each, message in world.publisher.results if each.id == name)
    assert first == again
    answered_once(world, name)


def test_a_plain_request_that_is_redelivered_is_answered_once_and_the_next_one_too(world: FaultWorld) -> None:
    """mosquitto begins with packet identifier 1 again after each connect: equal requests look like one redelivered."""
    publisher = world.publisher
    topic = publisher.topics.run("pi-1", "append")
    for at in range(1, 40):
        publisher.settle()
        world.faults.arm(Mode.KILL, at)
        answers = len(publisher.plain)
        publisher.send(b"x", topic=topic)
        publisher.until(lambda seen=answers: len(publisher.plain) > seen or not world.agent.alive)
        if world.agent.alive:
            break
        world.start()
        publisher.until(lambda seen=answers: len(publisher.plain) > seen)
    publisher.settle()
    ids = {dict(each.user_properties)["job"] for each in publisher.plain}
    runs = world.agent.runs()
    assert all(dict(each.user_properties)["state"] == "SUCCEEDED" for each in publisher.plain)
    assert all(runs[name] <= 2 for name in ids)
    assert len(ids) == at
    assert at > 3
