"""``waspi config``: the device's configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.config_example import EXAMPLE
from waspi.cli.console import write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Check a device's configuration, or print one.",
)


@app.command(epilog=examples("waspi config check /etc/waspi/waspi.toml"))
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The device's configuration (TOML).")]) -> int:
    """Check a configuration file as the agent would; a fault is named with its key. Exit code 0 or 2."""
    from waspi.device.config import load  # noqa: PLC0415 - `config example` must work where the file format is broken

    config = load(file)
    write_line(f"{file}: good: device {config.id} of fleet {config.fleet}, broker {config.broker.address}")
    return ExitCode.OK


@app.command(epilog=examples("waspi config example > device.toml"))
def example() -> int:
    """Print a configuration with every key, its default and its unit."""
    write_line(EXAMPLE.rstrip("\n"))
    return ExitCode.OK
