"""``waspi fleet``: the fleet at a glance; ``waspi fleet forget``: a board that is gone leaves it."""

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
from waspi.cli.json_option import JsonOption
from waspi.errors import RefusedByBrokerError, UsageError
from waspi.fleet.client import SURVEY_TIMEOUT_S, FleetStates
from waspi.fleet.registry import DeviceView
from waspi.fleet.selection import Selection
from waspi.protocol.topics import Topics

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

MOST_IN_A_FRAME = 200
"""Devices; more are written as plain lines, as into a pipe."""


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "waspi fleet",
        "waspi fleet --group kitchen --label floor=2 --offline",
        "waspi fleet --module stats@1.2.0 --json | jq -r .device",
        "waspi fleet forget pi-7",
    ),
)
@speaks_to_broker
def fleet(
    context: typer.Context,
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
    if context.invoked_subcommand is not None:
        _no_options_before(context)
        return ExitCode.OK
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


@app.command(
    epilog=examples("waspi fleet forget pi-7", "waspi fleet forget pi-7 --yes --json --broker mqtt://broker.example")
)
@speaks_to_broker
def forget(
    device: Annotated[str, typer.Argument(metavar="ID", help="The board's id.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also a board that is online, or of which nothing is known.")
    ] = False,
    timeout: WaitOption = SURVEY_TIMEOUT_S,
    as_json: JsonOption = False,
    at: BrokerOptions,
) -> int:
    """Clear what the broker keeps of a board that is gone: its presence and what it reported.

    It is in no list, dashboard or rollout any more. A board that lives after all is back when it connects next. Its
    certificate and its session at the broker stay; waspi device remove ends those, too.
    """
    choice = at.choice()
    with choice.client() as client:
        view = client.device(device, timeout)
        if not force:
            _may_be_forgotten(view, choice.fleet)
        if not yes and not _confirmed(view):
            note(f"{device} is kept")
            return ExitCode.USAGE
        try:
            client.forget(device, timeout)
        except RefusedByBrokerError as error:
            topics = Topics(choice.fleet)
            raise RefusedByBrokerError(
                f"{error.message}. What waspi broker config writes lets nobody but the board write there: run waspi "
                f"device remove {device} --dir DIR where the broker's folder is; with another access list, let this "
                f"user write {topics.presence(device)} and {topics.reported(device)}",
                error.code,
            ) from error
    if as_json:
        write_json({"forgotten": device, "was": view.state})
    else:
        write_text(f"{device} is forgotten; it was {view.state}")
    return ExitCode.OK


def _no_options_before(context: typer.Context) -> None:
    sources = map(context.get_parameter_source, context.params)
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        raise UsageError(f"write options behind {context.invoked_subcommand}, not before it")


def _may_be_forgotten(view: DeviceView, fleet: str) -> None:
    if view.online:
        raise UsageError(
            f"{view.id} is online, as far as the broker knows (waspi fleet says whether it answers); "
            "--force forgets it until it connects next"
        )
    if view.presence is None and view.reported is None and not view.unreadable:
        raise UsageError(f"nothing is kept of a device {view.id} in fleet {fleet}: are both names right?")


def _confirmed(view: DeviceView) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"nobody can be asked here whether to forget {view.id}: give --yes")
    # typer.confirm would write a space to stdout, where the answer alone belongs
    sys.stderr.write(f"Forget {view.id}, which is {view.state}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


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
