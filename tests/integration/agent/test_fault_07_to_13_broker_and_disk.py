"""FAULTS 7-13: the broker forgets, refuses or stays away; the disk is full; there is too much to do."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faultfs import Mode
from tests.integration.agent.conftest import AgentMaker
from tests.integration.agent.fault_world import FaultWorld
from tests.simulators.agent_process import AgentProcess, Publisher, TappedAgent
from tests.simulators.mosquitto import Mosquitto
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState
from waspi.protocol.sync import decode_sync_report, encode_sync_query

OUTPUT = b"x<---- This is your string"


@pytest.fixture
def world(tmp_path: Path, broker: Mosquitto, append_wasm: bytes) -> Iterator[FaultWorld]:
    made = FaultWorld(tmp_path / "pi-1", broker, append_wasm)
    yield made
    made.close()


def job(job_id: str) -> Job:
    return Job(job_id, NamedModule("append"), (b"x",))


def resident_kib(pid: int) -> int:
    """Anonymous memory that the process really has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("Anonymous:")[2].split()[0])


def test_fault_07_a_broker_that_comes_back_with_an_empty_store_loses_no_result(
    agent: AgentProcess, publisher: Publisher, broker: Mosquitto, loop_wasm: bytes
) -> None:
    publisher.send(Job("running", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=1_500)))
    status = publisher.topics.status("pi-1", "running")
    publisher.until(lambda: any(each.topic == status for each in publisher.messages))
    publisher.send(job("before"))
    publisher.result("before")
    broker.kill()
    publisher.until(lambda: publisher.offline)
    broker.start()
    assert publisher.result("running").state is JobState.TIMED_OUT
    sync = publisher.topics.sync("pi-1")
    seen = len(publisher.messages)
    publisher.send(encode_sync_query(("before", "running")), topic=publisher.topics.sync_query("pi-1"), reply_to=None)
    publisher.until(lambda: any(each.topic == sync for each in publisher.messages[seen:]))
    told = decode_sync_report([each.payload for each in publisher.messages if each.topic == sync][-1])
    assert told.jobs["before"] is JobState.SUCCEEDED
    assert "running" in told.jobs
    publisher.send(job("after"))
    assert publisher.result("after").outputs == (OUTPUT,)


def test_fault_08_a_full_outbox_stops_new_starts_and_keeps_every_result(
    tmp_path: Path, flood_wasm: bytes, loop_wasm: bytes
) -> None:
    extra = f"allow_anonymous true\npersistence true\npersistence_location {tmp_path}/store/\nuser root\n"
    (tmp_path / "store").mkdir()
    with Mosquitto(tmp_path / "broker", extra=extra) as broker:
        limits = f"[limits]\nfuel = {1 << 60}\ntime_ms = 3_600_000\n"
        queues = "[queue]\nworkers = 1\n[journal]\noutbox_mib = 1\n"
        agent = TappedAgent(tmp_path / "pi-1", broker.url, rest=limits + queues)
        publisher = Publisher(broker.url)
        try:
            publisher.connect()
            agent.start()
            publisher.until_online()
            publisher.send(Job("blocker", InlineModule(loop_wasm), (b"",)))
            publisher.until(lambda: agent.runs()["blocker"])
            names = [f"flood-{number}" for number in range(12)]
            for name in names:
                publisher.send(Job(name, InlineModule(flood_wasm), (b"",)))
            sync = publisher.topics.status("pi-1", names[-1])
            publisher.until(lambda: any(each.topic == sync for each in publisher.messages))  # all are journaled
            broker.stop()
            publisher.until(lambda: publisher.offline)
            for worker in agent.children():  # now the blocker may end
                os.kill(worker, signal.SIGKILL)
            publisher.until(lambda: sum(agent.runs().values()) >= 3)
            publisher.settle(1.0)
            assert sum(agent.runs().values()) <= 5, "500 kB each: the outbox's quota of 1 MiB is full after three"
            broker.start()
            for name in names:
                assert publisher.result(name, 60.0).state is JobState.SUCCEEDED
            assert set(agent.runs().values()) == {1}
        finally:
            publisher.close()
            agent.kill()


def test_fault_09_the_same_id_with_another_body_is_rejected_and_told(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(job("one"))
    publisher.result("one")
    publisher.send(Job("one", NamedModule("append"), (b"another",)))
    publisher.until(lambda: len(publisher.results_of("one")) == 2)
    refused = publisher.results_of("one")[1]
    assert refused.error is not None
    assert (refused.state, refused.error.kind) == (JobState.REJECTED, "duplicate-id")
    publisher.send(job("one"))
    publisher.until(lambda: len(publisher.results_of("one")) == 3)
    assert publisher.results_of("one")[2] == publisher.results_of("one")[0]


@pytest.mark.parametrize("inline", [False, True], ids=["named", "inline"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.__getitem__)
def test_fault_10_a_disk_that_refuses_is_told_and_nothing_is_lost(
    world: FaultWorld, loop_wasm: bytes, error: int, *, inline: bool
) -> None:
    publisher = world.publisher
    publisher.settle()
    world.faults.arm(Mode.FAIL, 1, error=error, length=1_000_000)
    module = InlineModule(loop_wasm) if inline else NamedModule("append")
    for name in ("one", "two"):
        publisher.send(Job(name, module, (b"x",), limits=Limits(time_ms=200)))
    publisher.until(lambda: publisher.presence[-1].degraded)
    publisher.settle()
    assert not publisher.results
    assert not world.agent.runs()
    assert world.agent.alive
    assert world.agent.log.count("no jobs are taken") == 1, "told once"
    world.faults.disarm()
    states = {publisher.result(name, 60.0).state for name in ("one", "two")}
    assert states == {JobState.TIMED_OUT if inline else JobState.SUCCEEDED}
    publisher.until(lambda: not publisher.presence[-1].degraded)
    assert world.agent.runs() == {"one": 1, "two": 1}


def test_fault_11_a_result_that_the_broker_refuses_waits_and_holds_up_no_other(
    tmp_path: Path, append_wasm: bytes
) -> None:
    rules = tmp_path / "acl"
    common = "topic readwrite waspi/#\ntopic readwrite reply/open/#\ntopic read reply/#\n"
    rules.write_text(common)
    rules.chmod(0o600)
    extra = f"allow_anonymous true\nacl_file {rules}\nuser root\n"
    with Mosquitto(tmp_path / "broker", extra=extra) as broker:
        agent = AgentProcess(tmp_path / "pi-1", broker.url)
        publisher = Publisher(broker.url)
        try:
            publisher.connect()
            agent.start()
            publisher.until_online()
            publisher.send(Job("closed", InlineModule(append_wasm), (b"x",)), reply_to="reply/publisher/closed")
            publisher.until(lambda: "0x87" in agent.log)
            for number in range(100):
                publisher.send(Job(f"open-{number}", InlineModule(append_wasm), (b"x",)), reply_to=None)
            for number in range(100):
                publisher.result(f"open-{number}")
            assert not publisher.results_of("closed")
            rules.write_text(f"{common}topic readwrite reply/publisher/#\n")
            assert broker._process is not None
            broker._process.send_signal(signal.SIGHUP)
            assert publisher.result("closed", 60.0).outputs == (OUTPUT,)
            assert agent.log.count("0x87") == 1, "told once"
        finally:
            publisher.close()
            agent.kill()


def test_fault_12_a_broker_that_takes_one_message_at_a_time_gets_one_at_a_time(
    tmp_path: Path, append_wasm: bytes
) -> None:
    with Mosquitto(tmp_path / "broker", inflight=1) as broker:
        agent = AgentProcess(tmp_path / "pi-1", broker.url)
        publisher = Publisher(broker.url)
        try:
            publisher.connect()
            agent.start()
            publisher.until_online()
            for number in range(50):
                publisher.send(Job(f"job-{number}", InlineModule(append_wasm), (b"x",)))
            for number in range(50):
                publisher.result(f"job-{number}")
            assert "Receive Maximum" not in broker.log
            assert "offline" not in agent.log
        finally:
            publisher.close()
            agent.kill()


def test_fault_13_ten_thousand_jobs_that_waited_are_answered_in_bounded_memory(
    make_agent: AgentMaker, publisher: Publisher
) -> None:
    count = int(os.environ.get("WASPI_QUEUED", "10000"))
    agent = make_agent(rest='[status]\nreport = "none"\n')
    agent.start()
    publisher.until_online()
    publisher.send(job("first"))
    publisher.result("first")
    agent.stop()
    for number in range(count):
        publisher.send(Job(f"job-{number}", NamedModule("append"), (b"x" * 100,)))
    publisher.until(lambda: publisher.link.room == 64)
    agent.start()
    publisher.until_online()
    idle = resident_kib(agent.pid)
    most = idle

    def answered() -> bool:
        nonlocal most
        most = max(most, resident_kib(agent.pid))
        return len(publisher.results) >= count + 1 and len({each.id for each, _ in publisher.results}) == count + 1

    publisher.until(answered, 300.0)
    assert {each.state for each, _ in publisher.results} == {JobState.SUCCEEDED}
    assert most < idle + 16 * 1024, f"{idle} KiB idle, {most} KiB at most"
