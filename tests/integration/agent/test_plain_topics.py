"""The plain way, as clients use it that know nothing of waspi; and calls for the state."""

from __future__ import annotations

import json
import subprocess

from tests.integration.agent.conftest import AgentMaker
from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet import Client
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.topics import Topics

TOPICS = Topics("default")
OWN = f"{TOPICS.root}/device/pi-1"
INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


def ask(publisher: Publisher, topic: str, payload: bytes = INPUT, *, on: str, **more: object) -> Incoming:
    """Publish a plain request and give the message that comes on a topic that begins with ``on``."""
    before = len(publisher.messages)
    publisher.link.publish(Outgoing(topic, payload, **more))  # type: ignore[arg-type]
    publisher.until(lambda: any(each.topic.startswith(on) for each in publisher.messages[before:]))
    return next(each for each in publisher.messages[before:] if each.topic.startswith(on))


def test_a_request_of_its_own_id_is_answered_under_it(agent: AgentProcess, publisher: Publisher) -> None:
    done = ask(publisher, f"{OWN}/run/append/q-7", on=f"{OWN}/result/")
    assert (done.topic, done.payload) == (f"{OWN}/result/q-7", OUTPUT)
    again = ask(publisher, f"{OWN}/run/append/q-7", b"other", on=f"{OWN}/result/")
    assert again.payload.startswith(b"other"), "the id is the asker's own; it may use it again"
    failed = ask(publisher, f"{OWN}/run/nothing/q-8", on=f"{OWN}/error/")
    assert failed.topic == f"{OWN}/error/q-8"
    assert json.loads(failed.payload)["error"]["kind"] == "unknown-module"


def test_an_error_never_comes_where_an_output_would(agent: AgentProcess, publisher: Publisher) -> None:
    failed = ask(publisher, TOPICS.run("pi-1", "nothing"), on=f"{OWN}/error/")
    properties = dict(failed.user_properties)
    assert failed.topic == f"{OWN}/error/{properties['job']}"
    assert (properties["state"], failed.content_type) == ("REJECTED", "application/json")
    asked = ask(publisher, TOPICS.run("pi-1", "nothing"), on="reply/publisher/", reply_to="reply/publisher/me")
    assert (asked.topic, asked.content_type) == ("reply/publisher/me", "application/json")


def test_a_group_answers_device_by_device(make_agent: AgentMaker, publisher: Publisher) -> None:
    for name in ("pi-1", "pi-2"):
        make_agent(name, device='groups = ["kitchen"]').start()
    publisher.until(lambda: sum(each.state == "online" for each in publisher.presence) >= 2)
    publisher.link.publish(Outgoing(TOPICS.group_run("kitchen", "append"), INPUT, reply_to="reply/publisher/me/"))
    publisher.until(
        lambda: len([each for each in publisher.messages if each.topic.startswith("reply/publisher/me/")]) == 2
    )
    answers = {each.topic: each.payload for each in publisher.messages if each.topic.startswith("reply/publisher/me/")}
    assert answers == {"reply/publisher/me/pi-1": OUTPUT, "reply/publisher/me/pi-2": OUTPUT}


def test_a_misspelt_topic_is_answered_where_somebody_asks(agent: AgentProcess, publisher: Publisher) -> None:
    told = ask(publisher, f"{OWN}/run/No_Such", on="reply/publisher/", reply_to="reply/publisher/me", correlation=b"7")
    assert json.loads(told.payload)["error"]["kind"] == "bad-topic"
    assert told.correlation == b"7"


def test_clearing_what_was_retained_asks_for_nothing(agent: AgentProcess, publisher: Publisher) -> None:
    for topic in (TOPICS.run("pi-1", "append"), TOPICS.device_job("pi-1")):
        publisher.link.publish(Outgoing(topic, b"", retain=True))
    ask(publisher, TOPICS.run("pi-1", "append"), on=f"{OWN}/result/")
    publisher.settle()
    answers = [each for each in publisher.messages if each.topic.startswith((f"{OWN}/error/", f"{OWN}/result/"))]
    assert [each.payload for each in answers] == [OUTPUT]


def test_mosquittos_own_clients_match_request_and_answer_by_topic(agent: AgentProcess, broker: Mosquitto) -> None:
    """MQTT 3.1.1, which knows neither Response Topic nor Correlation Data."""
    listener = subprocess.Popen(
        [
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            "-V",
            "311",
            "-p",
            str(broker.port),
            "-t",
            f"{OWN}/result/q-1",
            "-C",
            "1",
            "-W",
            "60",
            "-d",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout
    while "SUBACK" not in listener.stdout.readline():
        pass
    said = ["mosquitto_pub", "-V", "311", "-p", str(broker.port), "-t", f"{OWN}/run/append/q-1", "-m", INPUT.decode()]
    subprocess.run(said, check=True)
    rest, _ = listener.communicate(timeout=60)
    assert OUTPUT.decode() in rest


def test_an_agent_answers_a_call_for_its_state(agent: AgentProcess, publisher: Publisher, broker: Mosquitto) -> None:
    publisher.until(lambda: publisher.presence)
    with Client(broker.url) as fleet:
        found = fleet.devices()
    assert not found.silent
    assert found["pi-1"].online
    assert found["pi-1"].reported is not None
    assert found["pi-1"].reported.engine
