"""Results that the broker can never take: publishers get a small one that says why, and no other result waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.world import Sent, World
from tests.simulators.virtual_device import DEVICE, MODULE
from waspi.errors import Fault
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState
from waspi.mqtt.message import Outgoing, ServerLimits
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.topics import Topics, error_topic

TOPICS = Topics("default")


class Publisher:
    """What the broker gets for it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.answers: dict[str, list[Outgoing]] = {}
        self.world.device.broker._on_publish = self._on_publish

    def _on_publish(self, message: Outgoing) -> None:
        if message.topic.startswith("reply/"):
            self.answers.setdefault(message.topic.removeprefix("reply/"), []).append(message)

    def send(self, name: str, data: bytes, *, plain: bool = False) -> None:
        job = Job(name, NamedModule(MODULE), (data,))
        body = data if plain else encode_job(job)
        self.world.sent[name] = Sent(job, body, plain)
        topic = TOPICS.run(DEVICE, MODULE) if plain else TOPICS.device_job(DEVICE)
        self.world.device.broker.deliver(topic, body, reply_to=f"reply/{name}", correlation=name.encode(), retain=False)
        self.world._exhaust()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    made = Publisher(tmp_path)
    yield made
    made.world.close()


def told(publisher: Publisher, name: str) -> str:
    """Why the result of a job cannot be delivered, as its publisher is told."""
    (message,) = publisher.answers[name]
    result = decode_result(message.payload)
    assert result.error is not None
    assert (result.state, result.error.fault, result.error.kind) == (JobState.FAILED, Fault.BROKER, "undeliverable")
    assert (result.id, result.outputs, result.attempt) == (name, (), 1)
    return result.error.message


def test_a_result_that_the_broker_refuses_for_good_is_replaced_by_its_reason(publisher: Publisher) -> None:
    broker = publisher.world.device.broker
    broker.refusal_code = 0x95  # packet too large
    broker.refuses = lambda message: len(message.payload) > 2000
    publisher.world.connect()
    publisher.send("large", bytes(3000))
    publisher.send("small", b"x")
    assert "0x95" in told(publisher, "large")
    assert decode_result(publisher.answers["small"][0].payload).state is JobState.SUCCEEDED
    row = publisher.world._journaled("large")
    assert row is not None
    assert row.state is JobState.FAILED
    publisher.send("large", bytes(3000))
    first, again = publisher.answers["large"]
    assert first.payload == again.payload, "a duplicate is answered in the same words"
    counters = publisher.world.device.agent._journal.counters
    assert (counters.received, counters.succeeded, counters.failed) == (2, 1, 1)


def test_a_plain_result_that_fits_into_no_packet_is_replaced_by_its_reason(publisher: Publisher) -> None:
    publisher.world.device.broker.limits = ServerLimits(receive_maximum=4, max_packet_bytes=2000)
    publisher.world.connect()
    publisher.send("large", bytes(3000), plain=True)
    publisher.send("small", b"x", plain=True)
    (message,) = publisher.answers["large"]
    assert (message.correlation, message.content_type) == (b"large", "application/json")
    document = json.loads(message.payload)
    assert (document["state"], document["error"]["fault"]) == ("FAILED", "broker")
    assert (document["error"]["kind"], "2000" in document["error"]["message"]) == ("undeliverable", True)
    properties = dict(message.user_properties)
    assert (properties["state"], properties["error-kind"]) == ("FAILED", "undeliverable")
    assert "2000" in properties["error"]
    assert dict(publisher.answers["small"][0].user_properties)["state"] == "SUCCEEDED"


def test_a_result_of_too_many_chunks_is_replaced_by_its_reason(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waspi.protocol.chunk.MAX_CHUNKS", 4)
    publisher.world.device.broker.limits = ServerLimits(receive_maximum=4, max_packet_bytes=2000)
    publisher.world.connect()
    publisher.send("large", bytes(6000))
    publisher.send("small", b"x")
    assert "4 chunks" in told(publisher, "large")
    assert decode_result(publisher.answers["small"][0].payload).state is JobState.SUCCEEDED


def test_what_is_refused_for_good_even_when_small_is_given_up(publisher: Publisher) -> None:
    broker = publisher.world.device.broker
    broker.refusal_code = 0x90  # topic name invalid
    broker.refuses = lambda message: message.topic == "reply/nowhere"
    publisher.world.connect()
    publisher.send("nowhere", b"x")
    publisher.send("somewhere", b"x")
    assert "nowhere" not in publisher.answers
    assert decode_result(publisher.answers["somewhere"][0].payload).state is JobState.SUCCEEDED
    agent = publisher.world.device.agent
    assert {row.id for row in agent._journal.reader.outbox()} <= agent._outbox._sent


def test_fault_48_the_reason_of_a_plain_result_goes_to_the_topic_for_errors_after_a_crash_too(
    publisher: Publisher,
) -> None:
    world, result = publisher.world, TOPICS.result(DEVICE, "large")
    answers: list[str] = []
    world.device.broker._on_publish = lambda message: answers.append(message.topic)
    world.device.broker.refusal_code = 0x95
    world.device.broker.refuses = lambda message: message.topic in {result, error_topic(result)}
    world.connect()
    world.device.broker.deliver(TOPICS.run(DEVICE, MODULE), b"x", reply_to=result, correlation=None, retain=False)
    world.sent["x"] = Sent(Job("x", NamedModule(MODULE), (b"x",)), b"x", plain=True)
    world._exhaust()
    world.device.broker.refuses = lambda _message: False
    world.crash()
    world.connect()
    world._exhaust()
    assert error_topic(result) in answers
    assert result not in answers, "an output is what is read there"


def test_the_replacement_survives_a_crash(publisher: Publisher) -> None:
    world = publisher.world
    world.device.broker.refusal_code = 0x95
    world.device.broker.refuses = lambda message: message.topic.startswith("reply/")
    world.connect()
    publisher.send("large", b"x")
    world.device.broker.refuses = lambda _message: False
    world.crash()
    world.connect()
    world._exhaust()
    assert "0x95" in told(publisher, "large")
