"""``waspi config``: the device's configuration file."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.cli import config_example
from waspi.cli.console import write_line, write_text
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.device.catalog import files_of
from waspi.device.config import load
from waspi.device.settings import CONFIG, Config
from waspi.engine import Module
from waspi.errors import ConfigError, GuestError

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Check a device's configuration, or print one.",
)


@app.command(epilog=examples("waspi config check /etc/waspi/waspi.toml"))
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The device's configuration (TOML).")]) -> int:
    """Check a configuration file, the files that it names, and whether its modules keep to the ABI.

    A fault is named with its key. Exit code 0 or 2.
    """
    config = load(file)
    try:
        _check_files(config)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}") from error
    write_line(f"{file}: good: device {config.id} of fleet {config.fleet}, broker {config.broker.address}")
    return ExitCode.OK


def _check_files(config: Config) -> None:
    for module in config.modules:
        _, abi = files_of(module)
        try:
            Module.compile(module.path, abi=abi).check_abi()
        except GuestError as error:
            raise ConfigError(f"modules.{module.name}.path: {module.path} would not run: {error.message}") from error
    for key, path in CONFIG.files(config):
        try:
            path.open("rb").close()
        except PermissionError:
            continue  # the agent may be allowed what this user is not
        except OSError as error:
            raise ConfigError(f"{key}: cannot read {path}: {error.strerror}") from error


@app.command(epilog=examples("waspi config example > device.toml"))
def example() -> int:
    """Print a configuration with every key, its default and its unit."""
    write_text(config_example.example())
    return ExitCode.OK


@app.command(epilog=examples("waspi config reference | less"))
def reference() -> int:
    """Print what every key means, which values it takes and its default, as Markdown."""
    write_text(config_example.reference())
    return ExitCode.OK
