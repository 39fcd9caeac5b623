"""What the fleet's table shows of a device, and what it cuts."""

from __future__ import annotations

import io

from rich.console import Console

from waspi.cli.fleet_board import json_of_device
from waspi.cli.fleet_table import render
from waspi.fleet.registry import DeviceView
from waspi.protocol.presence import Presence, PresenceState
from waspi.protocol.reported import Reported, ReportedModule

LONG = "golden pair 1 of 1 failed with fuel-limit: the guest used up its fuel of 1000000 operators: raise the limit"


def view(**changes: object) -> DeviceView:
    modules = (
        ReportedModule("stats", "1.0.0", "0" * 64, "ACTIVE", available="1.1.0"),
        ReportedModule("stats", "1.1.0", "1" * 64, "FAILED", reason=LONG),
    )
    said = Reported("0.1.0", "wasmer 7", "arm", "1-a", modules=modules, groups=("kitchen",), **changes)  # type: ignore[arg-type]
    return DeviceView("pi-7", Presence(PresenceState.ONLINE, "1-a", 1_900_000_000), said)


def shown(device: DeviceView) -> str:
    console = Console(file=io.StringIO(), width=400)
    console.print(render([device]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_reason_is_cut_in_the_table_and_whole_in_json() -> None:
    table = shown(view())
    assert "stats@1.0.0 ACTIVE, 1.1.0 available" in table
    assert f"stats@1.1.0 FAILED ({LONG[:59]}…)" in table
    document = json_of_device(view())["reported"]
    assert isinstance(document, dict)
    assert document["modules"][1]["reason"] == LONG
    assert document["updates"] is None


def test_why_there_are_no_updates_is_shown() -> None:
    assert "no updates" not in shown(view())
    device = view(updates="the update repository is refused: timestamp metadata has expired")
    assert "no updates: the update repository is refused: timestamp metadata has ex…" in shown(device)
    document = json_of_device(device)["reported"]
    assert isinstance(document, dict)
    assert document["updates"] == "the update repository is refused: timestamp metadata has expired"
