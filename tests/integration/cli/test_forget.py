"""``waspi fleet forget``: a board that is gone leaves the fleet."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.command import environment, waspi
from tests.integration.fleet.test_states import keep
from tests.simulators.device import SimulatedDevice
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet import Client
from waspi.fleet.mosquitto_config import access_list, operator_name
from waspi.protocol.presence import PresenceState


def known(broker: Mosquitto) -> set[str]:
    with Client(broker.url) as fleet:
        return set(fleet.devices())


def test_a_board_that_is_gone_is_forgotten(broker: Mosquitto, tmp_path: Path) -> None:
    keep(broker, "pi-gone", PresenceState.OFFLINE)
    keep(broker, "pi-away", PresenceState.OFFLINE)
    options = ("--broker", broker.url)
    unasked = waspi("fleet", "forget", "pi-gone", *options, home=tmp_path)
    assert unasked.code == 2
    assert unasked.error_line.endswith("give --yes")
    assert known(broker) == {"pi-gone", "pi-away"}
    done = waspi("fleet", "forget", "pi-gone", "--yes", "--json", *options, home=tmp_path)
    assert (done.code, done.document) == (0, {"forgotten": "pi-gone", "was": "offline"})
    assert known(broker) == {"pi-away"}
    again = waspi("fleet", "forget", "pi-gone", "--yes", *options, home=tmp_path)
    assert again.code == 2
    assert "nothing is kept of a device pi-gone in fleet default" in again.error_line


@pytest.mark.parametrize(("typed", "code", "left"), [(b"n\n", 2, {"pi-gone"}), (b"y\n", 0, set())])
def test_who_sits_before_a_terminal_is_asked(
    broker: Mosquitto, tmp_path: Path, typed: bytes, code: int, left: set[str]
) -> None:
    keep(broker, "pi-gone", PresenceState.OFFLINE)
    keyboard, terminal = pty.openpty()
    os.write(keyboard, typed)
    command = [sys.executable, "-m", "waspi", "fleet", "forget", "pi-gone", "--broker", broker.url]
    done = subprocess.run(
        command, stdin=terminal, capture_output=True, text=True, env=environment(tmp_path), timeout=60, check=False
    )
    os.close(keyboard)
    os.close(terminal)
    assert done.returncode == code, done.stderr
    assert "Forget pi-gone, which is offline?" in done.stderr
    assert done.stdout == ("" if left else "pi-gone is forgotten; it was offline\n")
    assert known(broker) == left


def test_a_board_that_is_online_is_kept_without_force(broker: Mosquitto, tmp_path: Path) -> None:
    options = ("--yes", "--broker", broker.url)
    with SimulatedDevice(broker.url, "pi-1"):
        refused = waspi("fleet", "forget", "pi-1", *options, home=tmp_path)
        assert refused.code == 2
        assert "pi-1 is online" in refused.error_line
        with Client(broker.url) as fleet:
            assert fleet.device("pi-1").online
        done = waspi("fleet", "forget", "pi-1", "--force", *options, home=tmp_path)
        assert (done.code, done.text) == (0, "pi-1 is forgotten; it was online\n")
        with Client(broker.url) as fleet:
            view = fleet.device("pi-1")
            assert (view.presence, view.reported) == (None, None)


def test_where_the_access_list_says_no_it_is_told_what_to_do(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(access_list("default", {"pi-1": []}, ["ops"]))
    with Mosquitto(tmp_path / "broker", extra=f"user root\nallow_anonymous true\nacl_file {acl}\n") as broker:
        with SimulatedDevice(broker.url, "pi-1", username="pi-1"):
            pass
        options = ("--force", "--yes", "--broker", broker.url, "--username", operator_name("ops"))
        done = waspi("fleet", "forget", "pi-1", *options, home=tmp_path)
        assert (done.code, done.out) == (3, b"")
        assert done.error_line.startswith("waspi: broker: ")
        assert "waspi device remove pi-1 --dir DIR" in done.error_line
        assert "waspi/v1/default/device/pi-1/presence" in done.error_line
        with Client(broker.url, username=operator_name("ops")) as fleet:
            view = fleet.device("pi-1")
            assert view.presence is not None
            assert view.reported is not None


@pytest.mark.parametrize("arguments", [("--group", "kitchen", "forget", "pi-1"), ("--json", "forget", "pi-1", "--yes")])
def test_options_of_the_list_are_none_of_forget(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = waspi("fleet", *arguments, home=tmp_path)
    assert done.code == 2
    assert "write options behind forget" in done.error_line
