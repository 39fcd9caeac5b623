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
    made = FaultWorld(tmp_path / "pi-1", broker, append_wasm)
    yield made
    made.close()


def answered_once(world: FaultWorld, job_id: str) -> None:
    result = world.publisher.result(job_id)
    assert (result.state, result.outputs) == (JobState.SUCCEEDED, (OUTPUT,))
    world.publisher.settle()
    assert len(set(world.publisher.results_of(job_id))) == 1
    assert world.agent.runs()[job_id] == 1


def test_fault_01_killed_before_the_receipt_is_committed(world: FaultWorld) -> None:
    job_id = world.die_where(job, lambda name: world.journaled(name) is None)
    world.start()
    answered_once(world, job_id)


def test_fault_02_killed_after_the_receipt_before_its_acknowledgement(world: FaultWorld) -> None:
    def taken(name: str) -> bool:
        row = world.journaled(name)
        return row is not None and not row.state.final and not world.agent.runs()[name]

    job_id = world.die_where(job, taken)
    world.start()
    answered_once(world, job_id)


@pytest.mark.parametrize("idempotent", [False, True])
def test_fault_03_killed_while_the_guest_runs(world: FaultWorld, loop_wasm: bytes, *, idempotent: bool) -> None:
    publisher = world.publisher
    limits = Limits(time_ms=2_000)
    publisher.send(Job("long", InlineModule(loop_wasm), (b"",), limits=limits, idempotent=idempotent))
    publisher.until(lambda: world.agent.runs()["long"] == 1)
    world.kill_now()
    world.start()
    result = publisher.result("long")
    if idempotent:
        assert (result.state, result.attempt) == (JobState.TIMED_OUT, 2)
        assert world.agent.runs()["long"] == 2
    else:
        assert result.error is not None
        assert (result.state, result.error.kind, result.attempt) == (JobState.FAILED, "interrupted", 1)
        assert world.agent.runs()["long"] == 1


def test_fault_04_killed_after_the_results_commit_before_it_is_published(world: FaultWorld) -> None:
    job_id = world.die_where(job, lambda name: name in world.unsent() and not world.publisher.results_of(name))
    world.start()
    answered_once(world, job_id)


def test_fault_05_killed_between_the_results_acknowledgement_and_its_rows_end(world: FaultWorld) -> None:
    for number in range(20):  # the row goes within 200 ms of the acknowledgement: mostly the first kill is in time
        name = f"job-{number}"
        world.publisher.send(job(name))
        world.publisher.result(name)
        world.kill_now()
        left = world.unsent()
        world.start()
        if name in left:
            break
    else:
        raise AssertionError("the agent was never quick enough dead")
    world.publisher.until(lambda: len(world.publisher.results_of(name)) == 2)
    first, again = (message.payload for each, message in world.publisher.results if each.id == name)
    assert first == again
    answered_once(world, name)


def test_a_plain_request_that_is_redelivered_runs_once_and_the_next_one_runs_too(world: FaultWorld) -> None:
    """mosquitto begins with packet identifier 1 again after each connect: equal requests look like one redelivered."""
    publisher = world.publisher
    topic = publisher.topics.run("pi-1", "append")
    for at in range(1, 40):
        publisher.settle(0.4)  # until the answer's row has gone, which takes 200 ms
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
    assert all(runs[name] <= 1 for name in ids)
    assert len(runs) <= len(ids) == at
    interrupted = [each for each in publisher.plain if dict(each.user_properties)["state"] == "FAILED"]
    assert all(dict(each.user_properties)["error-kind"] == "interrupted" for each in interrupted)
    assert at > 5
