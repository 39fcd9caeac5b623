"""``waspi agent``: only its help stands here; :mod:`waspi.__main__` starts the real one without this package."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(epilog=examples("waspi agent --config /etc/waspi/waspi.toml"))
def agent(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", envvar="WASPI_CONFIG", help="The device's configuration (TOML).")
    ] = Path("/etc/waspi/waspi.toml"),
) -> int:
    """Run the device's service: take jobs from the broker, run them in the sandbox, publish the results.

    It logs to stderr as journald likes it and stops on SIGTERM. waspi config check FILE checks a configuration first;
    waspi config example prints one to start from.
    """
    from waspi.device.__main__ import main  # noqa: PLC0415 - showing help must not load the service

    return main(["--config", str(config)]) or ExitCode.OK
