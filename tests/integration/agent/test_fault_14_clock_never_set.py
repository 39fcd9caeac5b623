"""FAULT 14: a board whose clock was never set takes jobs, holds expiries and says in reported state what is wrong."""

from __future__ import annotations

import time
from pathlib import Path

from tests.simulators.agent_process import AgentProcess, ClocklessAgent, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi.device.clock import RELEASED
from waspi.model.job import Job
from waspi.model.module import InlineModule
from waspi.model.state import JobState
from waspi.protocol.reported import Reported, decode_reported


def reported_by(publisher: Publisher) -> Reported:
    topic = publisher.topics.reported(publisher.device)
    publisher.until(lambda: any(each.topic == topic for each in publisher.messages))
    return decode_reported([each.payload for each in publisher.messages if each.topic == topic][-1])


def test_fault_14_a_clock_that_was_never_set_is_told(
    broker: Mosquitto, publisher: Publisher, tmp_path: Path, append_wasm: bytes
) -> None:
    agent = ClocklessAgent(tmp_path / "pi-1", broker.url)
    agent.start()
    try:
        assert reported_by(publisher).clock_unset
        publisher.send(Job("good", InlineModule(append_wasm), (b"x",), expires_at=time.time() + 3600))
        publisher.send(Job("old", InlineModule(append_wasm), (b"x",), expires_at=RELEASED - 1))
        assert publisher.result("good").state is JobState.SUCCEEDED
        assert publisher.result("old").state is JobState.EXPIRED
    finally:
        agent.kill()


def test_fault_14_a_clock_that_is_set_is_no_news(agent: AgentProcess, publisher: Publisher) -> None:
    assert agent.alive
    assert not reported_by(publisher).clock_unset
