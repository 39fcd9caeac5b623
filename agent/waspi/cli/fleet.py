"""``waspi fleet``: the fleet at a glance."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note, write_json
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.fleet_board import json_of_device
from waspi.cli.fleet_table import render
from waspi.errors import UsageError
from waspi.fleet.selection import Selection

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_WIDE = 500


@app.command(
    epilog=examples(
        "waspi fleet",
        "waspi fleet --group kitchen --label floor=2 --offline",
        "waspi fleet --module stats=1.2.0 --json | jq -r .device",
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
        str | None, typer.Option("--module", metavar="NAME[=V]", help="Only devices that report this module.")
    ] = None,
    online: Annotated[
        bool | None, typer.Option("--online/--offline", help="Only devices that are, or are not, connected.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line for each device.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait.")] = 10.0,
    at: BrokerOptions,
) -> int:
    """List the devices: presence, version of the agent, modules and their states, last job, sandbox.

    What a device cannot do in its sandbox is named; everything else of it is on.
    """
    labels = dict(_label(each) for each in label or ())
    name, _, version = (module or "").partition("=")
    selection = Selection(frozenset(group or ()), labels, name, version, online)
    with at.choice().client() as client:
        known = client.devices(timeout)
    views = [view for view in known.values() if selection.takes(view)]
    if as_json:
        for view in views:
            write_json(json_of_device(view))
        return ExitCode.OK
    # What is piped on has no width: each device stays on its lines.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(render(views))
    there = sum(view.online for view in views)
    note(f"{len(views)} of {len(known)} devices, {there} online")
    return ExitCode.OK


def _label(text: str) -> tuple[str, str | None]:
    name, sign, value = text.partition("=")
    if not name:
        raise UsageError(f"{text!r} is no label; write KEY or KEY=VALUE")
    return name, value if sign else None
