"""What a home automation does: MQTT 3.1.1, text in and text out, retained JSON read as it is; no waspi on its side."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulators.agent_process import AgentProcess
from tests.simulators.mosquitto import Mosquitto

DEVICE = "waspi/v1/default/device/pi-1"
READY = "test/ready"
OUTPUT = "The input string<---- This is your string"


def server(broker: Mosquitto) -> list[str]:
    return ["-V", "311", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1"]


def publish(broker: Mosquitto, topic: str, text: str, *options: str) -> None:
    subprocess.run(["mosquitto_pub", *server(broker), *options, "-t", topic, "-m", text], check=True, timeout=120)


@contextmanager
def heard_on(broker: Mosquitto, topic: str) -> Iterator[Iterator[str]]:
    """What ``mosquitto_sub`` hears, payload by payload; it has subscribed when this returns."""
    publish(broker, READY, READY, "-r")
    command = ["mosquitto_sub", *server(broker), "-t", READY, "-t", topic, "-W", "120"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = (line.rstrip("\n") for line in process.stdout)
        assert next(lines) == READY
        yield lines
        process.terminate()


def test_text_in_and_text_out(agent: AgentProcess, broker: Mosquitto) -> None:
    assert agent.alive
    with heard_on(broker, f"{DEVICE}/result/+") as results:
        publish(broker, f"{DEVICE}/run/append", "The input string")
        assert next(results) == OUTPUT
    with heard_on(broker, f"{DEVICE}/error/+") as errors:  # never where it could be taken for output
        publish(broker, f"{DEVICE}/run/nothing", "x")
        assert json.loads(next(errors))["error"]["kind"] == "unknown-module"


def test_states_are_retained_json(agent: AgentProcess, broker: Mosquitto) -> None:
    assert agent.alive
    with heard_on(broker, f"{DEVICE}/presence") as presence:
        assert json.loads(next(presence))["state"] == "online"
    with heard_on(broker, f"{DEVICE}/reported") as reports:
        while not (report := json.loads(next(reports)))["sandbox"]:
            pass  # it begins before the first worker has told what it is held by
    assert report["sandbox"]["no_new_privs"] == "on"
    assert [module["name"] for module in report["modules"]] == ["append"]
