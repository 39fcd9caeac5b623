"""``waspi fleet``: the fleet at a glance."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note, write_json, write_text
from waspi.cli.duration import WaitOption
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.fleet_board import json_of_device
from waspi.cli.fleet_table import lines_of, render
from waspi.errors import UsageError
from waspi.fleet.client import SURVEY_TIMEOUT_S, FleetStates
from waspi.fleet.selection import Selection

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

MOST_IN_A_FRAME = 200
"""Devices; more are written as plain lines, as into a pipe."""


@app.command(
    epilog=examples(
        "waspi fleet",
        "waspi fleet --group kitchen --label floor=2 --offline",
        "waspi fleet --module stats@1.2.0 --json | jq -r .device",
    )
)
@speaks_to_broker
def fleet(
    *,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="ID", help="Only devices of this group; may be repeated.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY[=VALUE]", help="Only devices with this label; may be repeated."),
    ] = None,
    module: Annotated[
        str | None, typer.Option("--module", metavar="NAME[@VERSION]", help="Only devices that report this module.")
    ] = None,
    online: Annotated[
        bool | None, typer.Option("--online/--offline", help="Only devices that are, or are not, connected.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line for each device.")] = False,
    timeout: WaitOption = SURVEY_TIMEOUT_S,
    at: BrokerOptions,
) -> int:
    """List the devices: presence, version of the agent, modules and their states, last job, sandbox.

    What a device cannot do in its sandbox is named; everything else of it is on.
    """
    labels = dict(_label(each) for each in label or ())
    name, _, version = (module or "").partition("@")
    selection = Selection(frozenset(group or ()), labels, name, version, online)
    with at.choice().client() as client:
        known = client.devices(timeout)
    views = [view for view in known.values() if selection.takes(view)]
    if as_json:
        for view in views:
            write_json(
                {**json_of_device(view), "answered": view.id not in known.silent}
                if view.online
                else json_of_device(view)
            )
        return ExitCode.OK
    if sys.stdout.isatty() and len(views) <= MOST_IN_A_FRAME:
        Console().print(render(views))
    else:
        write_text("\n".join(lines_of(views)))
    there = sum(view.online for view in views)
    note(f"{len(views)} of {len(known)} devices, {there} online{_incomplete(known)}")
    return ExitCode.OK


def _incomplete(known: FleetStates) -> str:
    if not known.silent:
        return ""
    first = ", ".join(sorted(known.silent)[:3])
    more = f" and {len(known.silent) - 3} others" if len(known.silent) > 3 else ""  # noqa: PLR2004 - those named
    return f"; {len(known.silent)} of them did not answer ({first}{more}): what is shown of those may be old"


def _label(text: str) -> tuple[str, str | None]:
    name, sign, value = text.partition("=")
    if not name:
        raise UsageError(f"{text!r} is no label; write KEY or KEY=VALUE")
    return name, value if sign else None
