"""``waspi install-service``: the systemd unit for those who came by pip; the Debian package brings its own."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.config_example import example
from waspi.cli.console import write_line, write_text
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.errors import OperatorError, StorageError, UsageError
from waspi.fleet.operator_file import PUBLIC, write_file

PACKAGED = "/usr/lib/waspi/bin/waspi"
"""The program that the unit names as it stands."""
HIDDEN = ("/home", "/root", "/run/user")
"""What ``ProtectHome=yes`` hides from the service."""
CONFIGURATION = Path("etc/waspi/waspi.toml")
DEPOT_OPTIONS = Path("etc/waspi/depot.env")
DEPOT_EXAMPLE = """\
# Options of `waspi depot`, as waspi-depot.service starts it; it serves /srv/waspi/repository.
# A file /etc/waspi/credentials/depot.password is there as /run/credentials/waspi-depot.service/waspi_depot.password.
WASPI_DEPOT_OPTIONS=--broker mqtt://127.0.0.1:1883 --fleet default
"""

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


def unit(name: str, program: Path) -> str:
    """The text of ``waspi.service`` or ``waspi-depot.service`` for ``program``, the absolute path of ``waspi``.

    Raises ``UsageError`` where the service could not reach it.
    """
    if str(program).startswith(HIDDEN):
        raise UsageError(
            f"{program} lies in a home folder, which the service must not see; "
            "install it into /opt/waspi, as README, Install, has it"
        )
    text = files("waspi.cli").joinpath("units", f"{name}.service").read_text(encoding="utf-8")
    home = program.parent.parent
    text = text.replace(PACKAGED, str(program))
    if not str(program).startswith("/usr/"):
        text = text.replace("ExecPaths=/usr /lib\n", f"ExecPaths=/usr /lib {home}\n")
    return text


def install(root: Path, program: Path, *, depot: bool = False) -> list[Path]:
    """Write unit, settings and the credentials' folder below ``root`` (``/`` but in tests); what was written.

    Settings that exist are left alone. Raises ``StorageError`` when ``root`` cannot be written.
    """
    name, settings, content = _service(depot=depot)
    written = []
    try:
        service = root / f"etc/systemd/system/{name}.service"
        write_file(service, unit(name, program), PUBLIC)
        written.append(service)
        file = root / settings
        if not file.exists():
            write_file(file, content, PUBLIC)
            written.append(file)
        credentials = file.parent / "credentials"
        if not credentials.exists():
            credentials.mkdir(mode=0o700)
            written.append(credentials)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename}: {error.strerror}; try with sudo") from error
    except OperatorError as error:
        raise StorageError(f"{error.message}; try with sudo") from error
    return written


def _service(*, depot: bool) -> tuple[str, Path, str]:
    """The service's name, the file of its settings and what that holds at first."""
    return ("waspi-depot", DEPOT_OPTIONS, DEPOT_EXAMPLE) if depot else ("waspi", CONFIGURATION, example())


@app.command(epilog=examples("sudo /opt/waspi/bin/waspi install-service", "waspi install-service --show"))
def install_service(
    depot: Annotated[bool, typer.Option("--depot", help="The depot's service instead of the agent's.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the unit and write nothing.")] = False,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Write below DIR, for images.")] = Path("/"),
) -> int:
    """Install this waspi as a systemd service, hardened and restarted when it fails; starting it is left to you."""
    program = Path(sys.argv[0]).absolute() if Path(sys.argv[0]).name == "waspi" else Path(sys.prefix) / "bin" / "waspi"
    name, settings, _ = _service(depot=depot)
    if show:
        write_text(unit(name, program))
        return ExitCode.OK
    for path in install(root, program, depot=depot):
        write_line(f"wrote {path}")
    if root == Path("/") and os.path.isdir("/run/systemd/system"):  # noqa: PTH112 - sd_booted(3), as it is documented
        write_line(f"next: edit /{settings}, then: systemctl daemon-reload && systemctl enable --now {name}")
    return ExitCode.OK
