"""A job there and a result back, by every way that the protocol has."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from tests.integration.agent.conftest import AgentMaker
from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi.fault import Fault
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, ModuleRef, NamedModule
from waspi.model.result import ModuleOrigin
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming
from waspi.protocol.cancel import encode_cancel
from waspi.protocol.chunk import Assembler, decode_chunk
from waspi.protocol.reported import MessageLimits, decode_reported
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.status import decode_status
from waspi.protocol.sync import decode_sync_query, decode_sync_report, encode_sync_query

INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


def until_known(publisher: Publisher, *jobs: str) -> None:
    """Ask the device until it has these jobs on its disk."""
    topic = publisher.topics.sync("pi-1")
    while True:
        seen = len(publisher.messages)
        publisher.send(encode_sync_query(jobs), topic=publisher.topics.sync_query("pi-1"), reply_to=None)
        publisher.until(lambda seen=seen: any(each.topic == topic for each in publisher.messages[seen:]))
        told = [decode_sync_report(each.payload) for each in publisher.messages[seen:] if each.topic == topic]
        if set(jobs) <= set(told[-1].jobs):
            return


def test_an_inline_module_runs_and_is_known_by_its_digest_then(
    agent: AgentProcess, publisher: Publisher, append_wasm: bytes
) -> None:
    publisher.send(Job("one", InlineModule(append_wasm), (INPUT,)))
    first = publisher.result("one")
    digest = hashlib.sha256(append_wasm).hexdigest()
    publisher.send(Job("two", DigestModule(digest), (INPUT,)))
    second = publisher.result("two")
    assert first.state is second.state is JobState.SUCCEEDED
    assert first.outputs == second.outputs == (OUTPUT,)
    assert first.usage.module is ModuleOrigin.COMPILED
    assert second.usage.module is ModuleOrigin.WARM
    assert first.usage.fuel > 0
    assert first.usage.memory_bytes >= 65_536
    assert first.module == f"sha256:{digest}"
    assert (first.device, first.attempt) == ("pi-1", 1)
    _, message = publisher.results[0]
    assert (message.topic, message.correlation) == (publisher.reply_to, b"c")


def test_a_named_module_says_its_version(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(Job("named", NamedModule("append"), (INPUT,)))
    publisher.send(Job("exact", NamedModule("append", "1.0.0"), (INPUT,)))
    publisher.send(Job("other", NamedModule("append", "2.0.0"), (INPUT,)))
    assert publisher.result("named").module == "append@1.0.0"
    assert publisher.result("exact").outputs == (OUTPUT,)
    refused = publisher.result("other")
    assert refused.state is JobState.REJECTED
    assert refused.error is not None
    assert refused.error.kind == "unknown-module"
    assert "1.0.0, not 2.0.0" in refused.error.message


def test_a_batch_is_answered_by_outputs(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(Job("batch", NamedModule("append"), (b"a", b"", b"c"), batch=True))
    result = publisher.result("batch")
    assert result.batch
    assert result.outputs == (
        b"a<---- This is your string",
        b"<---- This is your string",
        b"c<---- This is your string",
    )


def test_without_a_response_topic_the_result_goes_to_the_default_one(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(Job("plain", NamedModule("append"), (INPUT,)), reply_to=None)
    publisher.result("plain")
    assert publisher.results[0][1].topic == publisher.topics.result("pi-1", "plain")


def test_the_plain_topic_answers_any_mqtt_client(agent: AgentProcess, broker: Mosquitto) -> None:
    command = ["mosquitto_rr", "-V", "5", "-p", str(broker.port), "-q", "1", "-W", "20", "-t"]
    command += ["waspi/v1/default/device/pi-1/run/append", "-e", "reply/rr", "-m", INPUT.decode()]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout.rstrip(b"\n") == OUTPUT


def test_a_plain_request_that_fails_says_why(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(b"x", topic=publisher.topics.run("pi-1", "nothing"))
    publisher.until(lambda: publisher.plain)
    answer = publisher.plain[0]
    properties = dict(answer.user_properties)
    assert (properties["state"], properties["error-kind"]) == ("REJECTED", "unknown-module")
    assert json.loads(answer.payload)["error"]["fault"] == "publisher"


def test_a_group_job_runs_on_every_device_of_the_group(make_agent: AgentMaker, publisher: Publisher) -> None:
    for name in ("pi-1", "pi-2", "pi-3"):
        make_agent(name, device='groups = ["kitchen"]' if name != "pi-3" else "").start()
    publisher.until(lambda: sum(each.state == "online" for each in publisher.presence) >= 3)
    publisher.send(Job("all", NamedModule("append"), (INPUT,)), topic=publisher.topics.group_job("kitchen"))
    publisher.until(lambda: len(publisher.results_of("all")) >= 2)
    publisher.settle()
    assert sorted(each.device for each in publisher.results_of("all")) == ["pi-1", "pi-2"]


def test_a_running_job_is_canceled(agent: AgentProcess, publisher: Publisher, loop_wasm: bytes) -> None:
    publisher.send(Job("endless", InlineModule(loop_wasm), (b"",)), reply_to=None)
    status = publisher.topics.status("pi-1", "endless")
    publisher.until(lambda: any(each.topic == status for each in publisher.messages))
    states = [decode_status(each.payload).state for each in publisher.messages if each.topic == status]
    assert states == [JobState.IN_PROGRESS]
    publisher.send(encode_cancel("too slow"), topic=publisher.topics.cancel("pi-1", "endless"), reply_to=None)
    result = publisher.result("endless")
    assert result.state is JobState.CANCELED
    assert result.error is not None
    assert result.error.message.endswith(": too slow")


def test_a_waiting_job_is_canceled(make_agent: AgentMaker, publisher: Publisher, loop_wasm: bytes) -> None:
    agent = make_agent(rest="[queue]\nworkers = 1\n")
    agent.start()
    publisher.until_online()
    publisher.send(Job("first", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=60_000)))
    publisher.send(Job("second", NamedModule("append"), (INPUT,)))
    publisher.send(encode_cancel("no longer wanted"), topic=publisher.topics.cancel("pi-1", "second"), reply_to=None)
    second = publisher.result("second")
    assert second.state is JobState.CANCELED
    assert second.error is not None
    assert second.error.message.endswith(": no longer wanted")
    publisher.send(b"", topic=publisher.topics.cancel("pi-1", "first"), reply_to=None)
    assert publisher.result("first").state is JobState.CANCELED


def test_a_job_that_waits_for_a_spent_budget_is_queued_and_told_so(
    make_agent: AgentMaker, publisher: Publisher, loop_wasm: bytes
) -> None:
    make_agent(rest='[status]\nreport = "all"\n[budget]\nrun_ms_per_minute = 1\n').start()
    publisher.until_online()
    publisher.send(Job("spends", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=100)))
    assert publisher.result("spends").state is JobState.TIMED_OUT
    publisher.send(Job("waits", NamedModule("append"), (INPUT,)))
    status = publisher.topics.status("pi-1", "waits")
    publisher.until(lambda: any(each.topic == status for each in publisher.messages))
    states = [decode_status(each.payload).state for each in publisher.messages if each.topic == status]
    assert states == [JobState.QUEUED]
    publisher.send(b"", topic=publisher.topics.cancel("pi-1", "waits"), reply_to=None)
    assert publisher.result("waits").state is JobState.CANCELED


def test_priority_goes_before_arrival(make_agent: AgentMaker, publisher: Publisher, loop_wasm: bytes) -> None:
    agent = make_agent(rest="[queue]\nworkers = 1\n")
    agent.start()
    publisher.until_online()
    modules: dict[str, ModuleRef] = {"first": NamedModule("append"), "second": InlineModule(loop_wasm)}
    for name, module in modules.items():
        publisher.send(Job(name, module, (INPUT,), limits=Limits(time_ms=50)))
        publisher.result(name)
    agent.stop()  # both are compiled now, and nothing is known of how long they run: none stands in a worker's line
    before = len(publisher.presence)
    agent.start()
    publisher.until(lambda: publisher.presence[before:] and publisher.presence[-1].state == "online")
    publisher.send(Job("blocker", InlineModule(loop_wasm), (b"",)))
    others = {"low": -5, "usual": 0, "high": 7, "usual-2": 0}
    for name, priority in others.items():
        publisher.send(Job(name, NamedModule("append"), (INPUT,), priority=priority))
    until_known(publisher, *others)
    publisher.send(b"", topic=publisher.topics.cancel("pi-1", "blocker"), reply_to=None)
    for name in ("blocker", *others):
        publisher.result(name)
    order = [each.id for each, _ in publisher.results]
    assert [name for name in order if name not in {"first", "second"}] == ["blocker", "high", "usual", "usual-2", "low"]


def test_an_overdue_guest_times_out_and_the_next_job_runs(
    agent: AgentProcess, publisher: Publisher, loop_wasm: bytes
) -> None:
    publisher.send(Job("slow", InlineModule(loop_wasm), (b"",), limits=Limits(time_ms=100)))
    slow = publisher.result("slow")
    assert slow.state is JobState.TIMED_OUT
    assert slow.error is not None
    assert (slow.error.fault, slow.error.kind) == ("publisher", "time-limit"), "the limit was the publisher's own"
    publisher.send(Job("next", NamedModule("append"), (INPUT,)))
    assert publisher.result("next").outputs == (OUTPUT,)


def test_a_limit_that_the_device_cut_is_told(make_agent: AgentMaker, publisher: Publisher, loop_wasm: bytes) -> None:
    make_agent(rest="[limits]\nfuel = 20000\n").start()
    publisher.until_online()
    publisher.send(Job("much", InlineModule(loop_wasm), (b"",), limits=Limits(fuel=1_000_000)))
    error = publisher.result("much").error
    assert error is not None
    assert (error.kind, error.fault) == ("fuel-limit", Fault.GUEST)
    assert error.message.endswith("(the job asked for 1000000 operators, this device grants 20000)")


def test_fuel_runs_out(agent: AgentProcess, publisher: Publisher, loop_wasm: bytes) -> None:
    publisher.send(Job("fuel", InlineModule(loop_wasm), (b"",), limits=Limits(fuel=10_000)))
    result = publisher.result("fuel")
    assert result.state is JobState.FAILED
    assert result.error is not None
    assert result.error.kind == "fuel-limit"


def test_reported_state_says_engine_sandbox_and_modules(agent: AgentProcess, publisher: Publisher) -> None:
    topic = publisher.topics.reported("pi-1")

    def reported() -> list[bytes]:
        return [each.payload for each in publisher.messages if each.topic == topic]

    publisher.until(lambda: any(decode_reported(each).engine for each in reported()))
    told = decode_reported(reported()[-1])
    assert told.engine.startswith(("wasmer", "wasmi"))
    assert told.sandbox["no_new_privs"] == "on"
    assert [(each.name, each.version, each.state) for each in told.modules] == [("append", "1.0.0", "ACTIVE")]
    assert told.limits.memory_bytes == 64 * 1024 * 1024
    mib = 1024 * 1024
    assert told.message_limits == MessageLimits(packet_bytes=8 * mib, input_bytes=4 * mib, module_bytes=8 * mib)
    assert told.counters["boots"] == 1


def test_a_sync_query_is_answered(agent: AgentProcess, publisher: Publisher) -> None:
    publisher.send(Job("known", NamedModule("append"), (INPUT,)))
    publisher.result("known")
    query = encode_sync_query(("known", "unknown"))
    assert decode_sync_query(query) == ("known", "unknown")
    publisher.send(query, topic=publisher.topics.sync_query("pi-1"), reply_to=None)
    topic = publisher.topics.sync("pi-1")
    publisher.until(lambda: sum(each.topic == topic for each in publisher.messages) >= 2)
    report = decode_sync_report([each.payload for each in publisher.messages if each.topic == topic][-1])
    assert dict(report.jobs) == {"known": JobState.SUCCEEDED}
    assert report.unknown == ("unknown",)


def test_a_clean_stop_says_offline_at_once(agent: AgentProcess, publisher: Publisher) -> None:
    assert agent.stop() == 0
    publisher.until(lambda: publisher.presence[-1].state == "offline")
    assert publisher.presence[-1].boot == publisher.presence[0].boot


def test_a_result_larger_than_a_packet_comes_in_chunks(tmp_path: Path, flood_wasm: bytes) -> None:
    extra = "allow_anonymous true\nmax_packet_size 100000\n"
    with Mosquitto(tmp_path / "narrow", extra=extra) as narrow:
        agent = AgentProcess(tmp_path / "pi-1", narrow.url)
        publisher = ChunkReader(narrow.url)
        agent.start()
        try:
            publisher.connect()
            publisher.until_online()
            publisher.send(Job("big", InlineModule(flood_wasm), (b"",)))
            publisher.until(lambda: publisher.whole)
            result = decode_result(publisher.whole[0])
            assert [len(each) for each in result.outputs] == [500_000]
            assert publisher.count > 5
            agent.stop()
        finally:
            publisher.close()
            agent.kill()


class ChunkReader(Publisher):
    """Takes results in chunks."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.assembler = Assembler()
        self.whole: list[bytes] = []
        self.count = 0

    def on_message(self, message: Incoming) -> None:
        if not message.topic.startswith("reply/"):
            super().on_message(message)
            return
        self.link.acknowledge(message)
        assert message.correlation == b"c"
        self.count += 1
        whole = self.assembler.add(decode_chunk(message.payload))
        if whole is not None:
            self.whole.append(whole)


def test_files_of_the_agent_are_its_own_whatever_the_umask(
    make_agent: AgentMaker, publisher: Publisher, append_wasm: bytes
) -> None:
    agent = make_agent()
    before = os.umask(0)
    try:
        agent.start()
    finally:
        os.umask(before)
    publisher.until_online()
    publisher.send(Job("inline", InlineModule(append_wasm), (INPUT,)))
    assert publisher.result("inline").outputs == (OUTPUT,)
    files = [agent.state, *agent.state.rglob("*")]
    assert {"journal.db", "journal.db-wal", "modules"} <= {path.name for path in files}
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in files} == {path.name: "0o0" for path in files}
