"""``waspi depot``: serves an update repository over MQTT."""

import signal
import threading
from typing import Annotated

import typer

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note, write_json
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.repo_options import RepoOption
from waspi.fleet.depot.service import Depot

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_MIB = 1024 * 1024
_LOOK_S = 0.5


@app.command(
    epilog=examples(
        "waspi depot --repo ./releases --broker mqtt://localhost",
        "waspi depot --repo /srv/releases --broker mqtts://depot@broker.lan --password-file depot.password",
    )
)
@speaks_to_broker
def depot(
    *,
    repo: RepoOption,
    rate_mib: Annotated[
        float, typer.Option("--rate-mib", min=0.01, metavar="N", help="MiB a second that it sends at most.")
    ] = 32.0,
    depot_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Its name among the fleet's depots; by default this machine's.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what it did as one JSON document at its end.")] = False,
    at: BrokerOptions,
) -> int:
    """Serve an update repository to devices over MQTT until it is stopped; needs no keys and writes nothing.

    Start as many as you like, anywhere, with a copy of the same folder: devices divide themselves among them, and turn
    to another one when theirs is silent. Any web server may serve the folder as well.
    """
    choice = at.choice()
    running = Depot(
        repo,
        choice.address,
        fleet=choice.fleet,
        tls=choice.tls,
        username=choice.username,
        password=choice.password,
        depot=depot_id,
        rate_bytes_s=rate_mib * _MIB,
        say=lambda text: note(f"depot: {text}"),
    )
    stopping = threading.Event()

    def stop(number: int, frame: object) -> None:
        del number, frame
        stopping.set()

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        with running:
            while not stopping.is_set() and not running.wait(_LOOK_S):
                pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    counts = running.counts
    if as_json:
        write_json({name: getattr(counts, name) for name in counts.__slots__})
    else:
        note(f"depot: {counts.served} ranges, {counts.data_bytes} bytes ({counts.sent_bytes} sent)")
    return ExitCode.OK
