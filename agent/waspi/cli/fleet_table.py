"""The table of ``waspi fleet``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.protocol.reported import Reported, ReportedModule

_REASON = 60
"""Characters of a reason; waspi fleet --json and waspi modules on the device give all of it."""
_COLOURS = {"online": "green", "offline": "red"}
_MODULE_COLOURS = {"ACTIVE": "green", "TRIAL": "cyan", "FAILED": "red", "ROLLED_BACK": "red"}


def render(views: Iterable[DeviceView]) -> Table:
    """Give the devices as a table, one row each. What devices say is shown as plain text."""
    table = Table()
    for heading in ("device", "presence", "agent", "groups", "modules", "last job", "sandbox"):
        table.add_column(heading, no_wrap=heading == "device", overflow="fold")
    for view in views:
        table.add_row(Text(view.id), _presence(view), *_said(view.reported))
    return table


def sandbox_of(reported: Reported) -> str:
    """Give the posture in a word: ``full``, or the layers that are not on."""
    lacking = [layer for layer, state in reported.sandbox.items() if state.startswith("off")]
    return f"no {', '.join(lacking)}" if lacking else "full" if reported.sandbox else ""


def _presence(view: DeviceView) -> Text:
    presence = view.presence
    if presence is None:
        return Text("never seen", style="yellow")
    if presence.degraded:
        return Text(presence.degraded, style="yellow")
    text = Text(f"{view.state} since {_time(presence.since)}", style=_COLOURS.get(view.state, "yellow"))
    if view.reported is not None and view.reported.clock_unset:
        text.append(" (its clock is not set)", style="yellow")
    return text


def _said(reported: Reported | None) -> tuple[Text, Text, Text, Text, Text]:
    if reported is None:
        return Text(), Text(), Text(), Text(), Text()
    job = reported.last_job
    posture = sandbox_of(reported)
    return (
        Text(f"{reported.version} {reported.engine}"),
        Text(", ".join(reported.groups)),
        _modules(reported),
        Text(f"{job.state} {_time(job.at)}\n{job.id}" if job is not None else ""),
        Text(posture, style="green" if posture == "full" else "yellow"),
    )


def _modules(reported: Reported) -> Text:
    lines = [_module(module) for module in reported.modules]
    if reported.updates:
        lines.append(Text(f"no updates: {_cut(reported.updates)}", style="yellow"))
    return Text("\n").join(lines)


def _module(module: ReportedModule) -> Text:
    text = Text(f"{module.name}@{module.version} ")
    text.append(module.state, style=_MODULE_COLOURS.get(module.state, ""))
    if module.reason:
        text.append(f" ({_cut(module.reason)})")
    if module.available:
        text.append(f", {module.available} available", style="cyan")
    return text


def _cut(reason: str) -> str:
    return reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%m-%d %H:%M")
