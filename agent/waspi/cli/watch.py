"""``waspi watch``: the fleet, live."""

import contextlib
import queue
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import write_json
from waspi.cli.duration import WaitOption
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.fleet_board import FleetBoard, json_of_device, json_of_event
from waspi.cli.watch_table import render
from waspi.fleet.client import Client
from waspi.fleet.event import FleetEvent

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

REFRESH_PER_SECOND = 4
JOBS_SHOWN = 20


@app.command(
    epilog=examples("waspi watch", "waspi watch --once", "waspi watch --json | jq 'select(.event == \"result\")'")
)
@speaks_to_broker
def watch(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show the devices as they are now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line: events, or devices.")] = False,
    timeout: WaitOption = 10.0,
    at: BrokerOptions,
) -> int:
    """Show devices, their presence and their jobs as they change, until Ctrl-C.

    Jobs are seen by their state changes and by results on the devices' own topics; an answer that goes to who asked
    is not. Piped on, the events are JSON, one document a line.
    """
    with at.choice().client() as client:
        if once:
            return _once(client, timeout, as_json=as_json)
        events: queue.SimpleQueue[FleetEvent] = queue.SimpleQueue()
        client.watch(events.put)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one ends it
            if as_json or not sys.stdout.isatty():
                while True:
                    write_json(json_of_event(events.get()))
            _live(events)
    return ExitCode.OK


def _once(client: Client, timeout: float, *, as_json: bool) -> int:
    board = FleetBoard()
    board.devices = client.devices(timeout)
    if as_json:
        for view in board.devices.values():
            write_json(json_of_device(view))
    else:
        Console().print(render(board, jobs=0).renderables[0])
    return ExitCode.OK


def _live(events: "queue.SimpleQueue[FleetEvent]") -> None:
    board = FleetBoard()
    with Live(render(board, jobs=JOBS_SHOWN), auto_refresh=False, screen=True) as live:
        while True:
            try:
                board.take(events.get(timeout=1 / REFRESH_PER_SECOND))
                while True:  # whatever else has come: one picture for all of it
                    board.take(events.get_nowait())
            except queue.Empty:
                live.update(render(board, jobs=JOBS_SHOWN), refresh=True)
