"""The doctor tries what a broker can do, and says what follows where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.command import waspi
from tests.integration.cli.test_doctor import findings_of
from tests.simulators.hostile_broker import HostileBroker
from tests.simulators.mosquitto import Mosquitto
from waspi.cli.exit_code import ExitCode
from waspi.fleet.trial import TRIALS

OPEN = "allow_anonymous true\n"


def test_a_broker_that_can_do_all_is_found_to(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        found = findings_of(waspi("doctor", "--json", "--broker", broker.url, home=tmp_path))
        left = Mosquitto.client("mosquitto_sub", "-p", str(broker.port), "-t", "#", "-W", "1", "-v", check=False)
    assert {trial.name: found[trial.name]["level"] for trial in TRIALS} == {trial.name: "ok" for trial in TRIALS}
    assert left == ""  # nothing stays behind


@pytest.mark.parametrize(
    ("extra", "what", "level", "said"),
    [
        ("retain_available false\n", "retained", "fail", "retain"),
        ("max_inflight_messages 4\n", "limits", "warn", "window 4"),
    ],
)
def test_what_a_broker_cannot_do_is_named(tmp_path: Path, extra: str, what: str, level: str, said: str) -> None:
    with Mosquitto(tmp_path / "broker", extra=OPEN + extra) as broker:
        found = findings_of(waspi("doctor", "--json", "--broker", broker.url, home=tmp_path))
    assert found[what]["level"] == level
    assert said in found[what]["found"].lower()
    assert found[what]["todo"]


def test_a_broker_of_3_1_1_is_named_as_such(tmp_path: Path) -> None:
    broker = HostileBroker(b"", greeting=b"\x20\x02\x00\x01")
    try:
        done = waspi("doctor", "--json", "--broker", broker.url, home=tmp_path)
    finally:
        broker.close()
    assert done.code == ExitCode.BROKER
    assert "speaks MQTT 3.1.1; waspi needs MQTT 5" in findings_of(done)["reachable"]["found"]
