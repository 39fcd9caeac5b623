"""The table of ``waspi fleet``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from waspi.cli.cell import cell
from waspi.cli.moment import local_time

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.protocol.reported import Reported, ReportedModule

_REASON = 60
"""Characters of a reason; waspi fleet --json and waspi modules on the device give all of it."""
_COLOURS = {"online": "green", "offline": "red"}
_MODULE_COLOURS = {"ACTIVE": "green", "TRIAL": "cyan", "FAILED": "red", "ROLLED_BACK": "red"}


_HEADINGS = ("device", "presence", "agent", "groups", "modules", "last job", "sandbox")


def render(views: Iterable[DeviceView]) -> Table:
    """Give the devices as a table, one row each. What devices say is shown as plain text."""
    table = Table()
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=heading == "device", overflow="fold")
    for view in views:
        table.add_row(*_row(view))
    return table


def lines_of(views: Iterable[DeviceView]) -> Iterator[str]:
    """Give the same as lines of text, one a device: for pipes, and for more devices than a frame can be drawn around.

    A frame around 10,000 devices takes 12 s to draw; this takes less than one.
    """
    rows = [_HEADINGS, *(tuple(text.plain.replace("\n", ", ") for text in _row(view)) for view in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def sandbox_of(reported: Reported) -> str:
    """Give the posture in a word: ``full``, or the layers that are not on."""
    lacking = [layer for layer, state in reported.sandbox.items() if state.startswith("off")]
    return f"no {', '.join(lacking)}" if lacking else "full" if reported.sandbox else ""


def _row(view: DeviceView) -> tuple[Text, ...]:
    return (cell(view.id), _presence(view), *_said(view))


def _presence(view: DeviceView) -> Text:
    presence = view.presence
    if presence is None:
        return cell("unreadable" if view.unreadable else "never seen", "red" if view.unreadable else "yellow")
    if presence.degraded:
        return cell(presence.degraded, "yellow")
    text = cell(f"{view.state} since {local_time(presence.since)}", _COLOURS.get(view.state, "yellow"))
    if view.reported is not None and view.reported.clock_unset:
        text.append(" (its clock is not set)", style="yellow")
    return text


def _said(view: DeviceView) -> tuple[Text, Text, Text, Text, Text]:
    reported = view.reported
    unreadable = cell(f"cannot be read: {_cut(view.unreadable)}", "red") if view.unreadable else Text()
    if reported is None:
        return Text(), Text(), unreadable, Text(), Text()
    job = reported.last_job
    posture = sandbox_of(reported)
    return (
        cell(f"{reported.version} {reported.engine}"),
        cell(", ".join(reported.groups)),
        Text("\n").join([unreadable, _modules(reported)] if view.unreadable else [_modules(reported)]),
        Text("\n").join([cell(f"{job.state} {local_time(job.at)}"), cell(job.id)]) if job is not None else Text(),
        cell(posture, "green" if posture == "full" else "yellow"),
    )


def _modules(reported: Reported) -> Text:
    lines = [_module(module) for module in reported.modules]
    if reported.updates:
        lines.append(cell(f"no updates: {_cut(reported.updates)}", "yellow"))
    return Text("\n").join(lines)


def _module(module: ReportedModule) -> Text:
    text = cell(f"{module.name}@{module.version} ")
    text.append_text(cell(module.state, _MODULE_COLOURS.get(module.state, "")))
    if module.reason:
        text.append_text(cell(f" ({_cut(module.reason)})"))
    if module.available:
        text.append_text(cell(f", {module.available} available", "cyan"))
    return text


def _cut(reason: str) -> str:
    return reason if len(reason) <= _REASON else f"{reason[: _REASON - 1]}…"
