"""FAULT 47: a device leaves a group: its topics are unsubscribed, and nobody is answered REJECTED for it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState


def test_fault_47_jobs_of_a_group_that_was_left_are_neither_run_nor_refused(
    tmp_path: Path, broker: Mosquitto, publisher: Publisher, append_wasm: bytes
) -> None:
    guest = tmp_path / "append.wasm"
    guest.write_bytes(append_wasm)
    module = f'[modules.append]\npath = "{guest}"\n'
    group_topic = publisher.topics.group_job("kitchen")

    def agent_in(groups: str) -> AgentProcess:
        return AgentProcess(tmp_path / "pi-1", broker.url, device=f"groups = [{groups}]", rest=module)

    def send(name: str, topic: str) -> None:
        publisher.send(Job(name, NamedModule("append"), (b"x",)), topic=topic)

    agent = agent_in('"kitchen"')
    try:
        agent.start()
        publisher.until_online()
        send("member", group_topic)
        assert publisher.result("member").state is JobState.SUCCEEDED
        agent.stop()
        send("in-between", group_topic)  # the broker keeps it for the session
        agent = agent_in("")
        before = len(publisher.presence)
        agent.start()
        publisher.until(lambda: any(each.state == "online" for each in publisher.presence[before:]))
        send("first", publisher.topics.device_job("pi-1"))
        publisher.result("first")
        send("after", group_topic)
        send("last", publisher.topics.device_job("pi-1"))
        publisher.result("last")
        publisher.settle()
        answered = {result.id for result, _ in publisher.results}
        assert answered == {"member", "first", "last"}
        kept = json.loads((agent.state / "subscriptions.json").read_bytes())
        assert publisher.topics.device_job("pi-1") in kept
        assert group_topic not in kept
        assert agent.log.count("kitchen") == 1, "what comes after the device has left does not reach it"
    finally:
        agent.kill()
