"""``waspi cancel``: stop a job."""

from typing import Annotated

import typer

from waspi.cli.broker_options import (
    BrokerChoice,
    BrokerOption,
    CaOption,
    CertOption,
    FleetOption,
    KeyOption,
    ProfileOption,
)
from waspi.cli.console import note
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "waspi cancel --device pi-7 j-0123456789abcdef0123",
        "waspi cancel --device pi-7 nightly-42 --reason 'wrong input'",
    )
)
def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    *,
    device: Annotated[str, typer.Option("--device", metavar="ID", help="Device that has it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Told in the job's result.")] = "",
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait.")] = 10.0,
    broker: BrokerOption = None,
    fleet: FleetOption = None,
    profile: ProfileOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> int:
    """Ask a device to stop a job, queued or running; the job then ends as CANCELED, unless it had ended before.

    Returns when the broker has taken the request over. Who pushed the job gets its result.
    """
    choice = BrokerChoice.of(broker, fleet, profile, ca, cert, key)
    with choice.client() as client:
        client.cancel(device, job, reason=reason, timeout=timeout)
    note(f"asked {device} to stop job {job}")
    return ExitCode.OK
