from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.integration.cli.command import start, waspi
from tests.simulators.device import SimulatedDevice
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet import Client


def test_once_shows_the_devices_and_ends(broker: Mosquitto, tmp_path: Path) -> None:
    with SimulatedDevice(broker.url, groups=("attic",)):
        table = waspi("watch", "--once", "--broker", broker.url, home=tmp_path)
        lines = waspi("watch", "--once", "--json", "--broker", broker.url, home=tmp_path).text.splitlines()
    assert table.code == 0
    assert "pi-7" in table.text
    (device,) = map(json.loads, lines)
    assert (device["device"], device["state"], device["reported"]["groups"]) == ("pi-7", "online", ["attic"])


def test_stream_of_events_until_interrupted(broker: Mosquitto, tmp_path: Path) -> None:
    watcher = start("watch", "--json", "--broker", broker.url, home=tmp_path)
    assert watcher.stdout
    assert watcher.stderr
    with watcher.stdout, watcher.stderr, SimulatedDevice(broker.url), Client(broker.url) as fleet:
        first = json.loads(watcher.stdout.readline())  # the watcher is there
        assert (first["event"], first["device"]) in {("presence", "pi-7"), ("reported", "pi-7")}
        fleet.run("pi-7", "append", b"x", job_id="seen", timeout=60)
        event = first
        while event["event"] != "status":
            event = json.loads(watcher.stdout.readline())
        assert (event["job"], event["state"]) == ("seen", "IN_PROGRESS")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(60) == 0, watcher.stderr.read()
