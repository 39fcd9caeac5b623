"""The live table of ``waspi watch``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from waspi.cli.fleet_board import FleetBoard

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
    devices = Table(title="devices", expand=True)
    for heading in ("device", "state", "since", "version", "engine", "groups", "modules", "jobs"):
        devices.add_column(heading, no_wrap=heading in {"device", "state"})
    for _, view in sorted(board.devices.items()):
        reported = view.reported
        since = "" if view.presence is None else _time(view.presence.since)
        state = view.presence.degraded if view.presence and view.presence.degraded else view.state
        cells = [view.id, "", since, "", "", "", "", ""]
        if reported is not None:
            modules = ", ".join(f"{module.name}@{module.version} {module.state}" for module in reported.modules)
            done = str(reported.counters.get("succeeded", ""))
            cells[3:] = [reported.version, reported.engine, ", ".join(reported.groups), modules, done]
        texts = [Text(cell) for cell in cells]
        texts[1] = Text(state, style=_COLOURS.get(state, _OTHER_COLOUR))
        devices.add_row(*texts)
    lines = Table(title="jobs", expand=True)
    for heading in ("time", "device", "job", "state", "note"):
        lines.add_column(heading, no_wrap=True, ratio=1 if heading == "note" else None)
    for line in list(reversed(board.jobs.values()))[:jobs]:
        state_text = Text(line.state, style=_COLOURS.get(line.state, _OTHER_COLOUR))
        note = f"try {line.attempt} {line.note}" if line.attempt > 1 else line.note
        lines.add_row(_time(line.at), Text(line.device), Text(line.id), state_text, Text(note))
    return Group(devices, lines)


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%m-%d %H:%M:%S")
