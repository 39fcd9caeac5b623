"""``waspi config``: the device's configuration file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waspi.cli.config_example import EXAMPLE
from waspi.cli.console import write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.errors import ConfigError

if TYPE_CHECKING:
    from waspi.device.settings import Config

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Check a device's configuration, or print one.",
)


@app.command(epilog=examples("waspi config check /etc/waspi/waspi.toml"))
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The device's configuration (TOML).")]) -> int:
    """Check a configuration file, and the files that it names; a fault is named with its key. Exit code 0 or 2."""
    from waspi.device.config import load  # noqa: PLC0415 - `config example` must work where the file format is broken

    config = load(file)
    try:
        _check_files(config)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}") from error
    write_line(f"{file}: good: device {config.id} of fleet {config.fleet}, broker {config.broker.address}")
    return ExitCode.OK


def _check_files(config: "Config") -> None:
    from waspi.device.catalog import files_of  # noqa: PLC0415 - see above

    for module in config.modules:
        files_of(module)
    tls = config.broker.tls
    named = {"broker.tls.ca": tls.ca, "broker.tls.certificate": tls.certificate, "broker.tls.key": tls.key}
    if config.updates is not None:
        named |= {"updates.root": config.updates.root, "updates.ca": config.updates.ca}
    for key, path in named.items():
        try:
            if path is not None:
                path.open("rb").close()
        except PermissionError:
            continue  # the agent may be allowed what this user is not
        except OSError as error:
            raise ConfigError(f"{key}: cannot read {path}: {error.strerror}") from error


@app.command(epilog=examples("waspi config example > device.toml"))
def example() -> int:
    """Print a configuration with every key, its default and its unit."""
    write_line(EXAMPLE.rstrip("\n"))
    return ExitCode.OK
