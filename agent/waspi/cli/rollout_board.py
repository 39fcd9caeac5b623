"""How a rollout's progress reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from waspi.fleet.rollout.census import LEGEND, Outcome
from waspi.fleet.rollout.record import Phase

if TYPE_CHECKING:
    from waspi.fleet.rollout.census import Census
    from waspi.fleet.rollout.record import RolloutRecord

_COLOURS = {
    Outcome.ACTIVE: "green",
    Outcome.TRIAL: "cyan",
    Outcome.WORKING: "cyan",
    Outcome.FAILED: "red",
    Outcome.LOST: "yellow",
}
_BAR = 30
_MOST_LINES = 10
"""Devices, reasons and names that are shown; the JSON has all."""


def json_of_progress(record: RolloutRecord, census: Census, now: float) -> dict[str, object]:
    """Give a look for scripts, one document a line."""
    chosen = record.selection
    return {
        "release": record.plan.label,
        "group": record.plan.group,
        "phase": str(record.phase),
        "stage": str(record.present),
        "stage_number": record.stage + 1,
        "stages": len(record.plan.stages),
        "chosen": {"devices": chosen.chosen, "of": chosen.known, "added": list(chosen.added)},
        "since": round(record.since, 3),
        "at": round(now, 3),
        "devices": census.counts,
        "serving": len(census.serving),
        "waiting": dict(sorted(census.waits.items())),
        "failures": dict(sorted(census.reasons.items())),
        "reason": record.reason or None,
    }


def line_of_progress(record: RolloutRecord, census: Census, now: float) -> str:
    """Give a look as one line, for logs."""
    head = f"{record.plan.label} {_stage(record)} {record.phase}{_left(record, now)}"
    if record.phase is Phase.DEPLOYING:
        return f"{head}: {_contents(record)}"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in census.counts.items() if number)
    text = f"{head}: {counts or 'no devices'}"
    if record.reason:
        text += f" ({record.reason})"
    return "; ".join([text, *_waits(census)])


def render(record: RolloutRecord, census: Census, now: float) -> Group:
    """Give a look as a table with bars. What devices say is shown as plain text."""
    stages = " > ".join(
        f"[{stage}]" if number == record.stage else str(stage) for number, stage in enumerate(record.plan.stages)
    )
    head = Text(f"{record.plan.label} to {record.plan.group}   {stages}   ")
    head.append(f"{record.phase}{_left(record, now)}", style="bold")
    table = Table.grid(padding=(0, 2))
    whole = max(1, len(census.outcomes))
    for outcome, number in census.counts.items():
        bar = "█" * round(number * _BAR / whole)
        style = _COLOURS.get(Outcome(outcome), "dim")
        legend = Text(LEGEND[Outcome(outcome)], style="dim")
        table.add_row(Text(outcome), Text(str(number), justify="right"), Text(bar, style=style), legend)
    lines: list[Text | Table] = [head, Text(f"{_stage(record)}: {_contents(record)}"), table]
    if record.reason:
        lines.append(Text(record.reason, style="yellow"))
    lines += [Text(line) for line in _waits(census)]
    failures = sorted(census.reasons.items())
    lines += [Text(f"{device}: {reason}", style="red") for device, reason in failures[:_MOST_LINES]]
    if failures[_MOST_LINES:]:
        lines.append(Text(f"and {len(failures) - _MOST_LINES} others", style="red"))
    return Group(*lines)


def legend() -> str:
    """Give what the states of devices mean, for a command's help."""
    return "States of devices: " + "; ".join(f"{outcome}: {said}" for outcome, said in LEGEND.items()) + "."


def _stage(record: RolloutRecord) -> str:
    return f"stage {record.stage + 1} of {len(record.plan.stages)} ({record.present})"


def _contents(record: RolloutRecord) -> str:
    chosen = record.selection
    if record.phase is Phase.PLANNING or not chosen.known:
        return "its devices are not chosen yet"
    text = f"{chosen.chosen} of {chosen.known} devices that are online"
    if record.present.whole:
        text += ", and all that come"
    if not chosen.added:
        return f"{text}; none that was not in the stage before"
    more = len(chosen.added) - _MOST_LINES
    return f"{text}; new: {', '.join(chosen.added[:_MOST_LINES])}{f' and {more} others' if more > 0 else ''}"


def _waits(census: Census) -> list[str]:
    waits = sorted(census.waits.items())
    lines = [f"{device} {what}" for device, what in waits[:_MOST_LINES]]
    return [*lines, f"and {len(waits) - _MOST_LINES} others wait"] if waits[_MOST_LINES:] else lines


def now_s() -> float:
    """Unix time; a rollout's record outlives the process, so a monotonic clock would not do."""
    return time.time()


def _left(record: RolloutRecord, now: float) -> str:
    if record.phase is not Phase.SOAKING:
        return ""
    return f" ({max(0.0, record.plan.soak_s - (now - record.since)):.0f} s left)"
