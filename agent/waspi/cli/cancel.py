"""``waspi cancel``: stop a job."""

from typing import Annotated

import typer

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note
from waspi.cli.duration import WaitOption
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "waspi cancel --device pi-7 j-0123456789abcdef0123",
        "waspi cancel --device pi-7 nightly-42 --reason 'wrong input'",
        "waspi cancel --device pi-7 --sign ops nightly-42",
    )
)
@speaks_to_broker
def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    *,
    device: Annotated[str, typer.Option("--device", metavar="ID", help="Device that has it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stands in the device's log.")] = "",
    timeout: WaitOption = 10.0,
    sign: Annotated[
        str | None, typer.Option("--sign", metavar="KEY", help="Sign with this key: an id of waspi keys, or a file.")
    ] = None,
    at: BrokerOptions,
) -> int:
    """Ask a device to stop a job, queued or running; the job then ends as CANCELED, unless it had ended before.

    Returns when the broker has taken the request over. Who pushed the job gets its result.
    """
    with at.choice().client(sign=sign) as client:
        client.cancel(device, job, reason=reason, timeout=timeout)
    note(f"asked {device} to stop job {job}")
    return ExitCode.OK
