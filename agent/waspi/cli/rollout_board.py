"""How a rollout's progress reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from waspi.cli.cell import cell
from waspi.fleet.rollout.outcome import Outcome
from waspi.fleet.rollout.phase import Phase

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
_MOST_REASONS = 5


def json_of_progress(record: RolloutRecord, census: Census, now: float) -> dict[str, object]:
    """Give a look for scripts, one document a line."""
    return {
        "release": record.plan.label,
        "group": record.plan.group,
        "phase": str(record.phase),
        "stage": record.percent,
        "since": round(record.since, 3),
        "at": round(now, 3),
        "devices": census.counts,
        "serving": len(census.serving),
        "failures": dict(sorted(census.reasons.items())),
        "reason": record.reason or None,
    }


def line_of_progress(record: RolloutRecord, census: Census, now: float) -> str:
    """Give a look as one line, for logs."""
    counts = ", ".join(f"{number} {outcome}" for outcome, number in census.counts.items() if number)
    left = _left(record, now)
    text = f"{record.plan.label} {record.percent:g}% {record.phase}{left}: {counts or 'no devices'}"
    return f"{text} ({record.reason})" if record.reason else text


def render(record: RolloutRecord, census: Census, now: float) -> Group:
    """Give a look as a table with bars. What devices say is shown as plain text."""
    stages = " > ".join(
        f"[{stage:g}%]" if number == record.stage else f"{stage:g}%" for number, stage in enumerate(record.plan.stages)
    )
    head = Text(f"{record.plan.label} to {record.plan.group}   {stages}   ")
    head.append(f"{record.phase}{_left(record, now)}", style="bold")
    table = Table.grid(padding=(0, 2))
    whole = max(1, len(census.outcomes))
    for outcome, number in census.counts.items():
        bar = "█" * round(number * _BAR / whole)
        style = _COLOURS.get(Outcome(outcome), "dim")
        table.add_row(Text(outcome), Text(str(number), justify="right"), Text(bar, style=style))
    lines: list[Text | Table] = [head, table]
    if record.reason:
        lines.append(cell(record.reason, "yellow"))
    failures = sorted(census.reasons.items())
    lines += [cell(f"{device}: {reason}", "red") for device, reason in failures[:_MOST_REASONS]]
    if failures[_MOST_REASONS:]:
        lines.append(Text(f"and {len(failures) - _MOST_REASONS} others", style="red"))
    return Group(*lines)


def now_s() -> float:
    """Unix time; a rollout's record outlives the process, so a monotonic clock would not do."""
    return time.time()


def _left(record: RolloutRecord, now: float) -> str:
    if record.phase is not Phase.SOAKING:
        return ""
    return f" ({max(0.0, record.plan.soak_s - (now - record.since)):.0f} s left)"
