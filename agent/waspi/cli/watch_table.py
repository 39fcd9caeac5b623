"""The live tables of ``waspi watch``; they fit 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from waspi.cli.cell import cell
from waspi.cli.moment import local_time

if TYPE_CHECKING:
    from waspi.cli.fleet_board import FleetBoard
    from waspi.fleet.registry import DeviceView

_COLOURS = {
    "online": "green",
    "offline": "red",
    "SUCCEEDED": "green",
    "QUEUED": "cyan",
    "IN_PROGRESS": "cyan",
}
_OTHER_COLOUR = "yellow"


def render(board: FleetBoard, *, jobs: int) -> Group:
    """Give the board as tables: all devices, and the newest ``jobs`` jobs. What devices say is shown as plain text."""
    devices = Table(title="devices", expand=True, padding=(0, 1), pad_edge=False)
    for heading, ratio in (("device", 3), ("state", 2), ("since", None), ("groups", 2), ("modules", 5), ("jobs", None)):
        devices.add_column(
            heading, no_wrap=heading != "modules", ratio=ratio, justify="right" if heading == "jobs" else "left"
        )
    for _, view in sorted(board.devices.items()):
        devices.add_row(*_device(view))
    lines = Table(title="jobs", expand=True, padding=(0, 1), pad_edge=False)
    for heading, ratio in (("time", None), ("device", 3), ("job", 4), ("state", None), ("note", 4)):
        lines.add_column(heading, no_wrap=True, ratio=ratio)
    for line in list(reversed(board.jobs.values()))[:jobs]:
        note = f"try {line.attempt} {line.note}" if line.attempt > 1 else line.note
        state = cell(line.state, _COLOURS.get(line.state, _OTHER_COLOUR))
        lines.add_row(local_time(line.at, "%H:%M:%S"), cell(line.device), cell(line.id), state, cell(note))
    return Group(devices, lines)


def _device(view: DeviceView) -> list[Text]:
    reported, presence = view.reported, view.presence
    state = view.state
    told = [cell(f"{each.name}@{each.version} {each.state}") for each in reported.modules] if reported else []
    if presence is not None and presence.degraded:
        state = "degraded"
        told.insert(0, cell(presence.degraded, "yellow"))
    if view.unreadable:
        told.insert(0, cell(f"cannot be read: {view.unreadable}", "red"))
    return [
        cell(view.id),
        cell(state, _COLOURS.get(state, _OTHER_COLOUR)),
        cell("" if presence is None else local_time(presence.since)),
        cell(", ".join(view.groups)),
        Text(", ").join(told),
        cell("" if reported is None else str(reported.counters.get("succeeded", ""))),
    ]
