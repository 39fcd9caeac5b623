"""``waspi install-service``: the systemd unit for those who came by pip; the Debian package brings its own."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.config_example import EXAMPLE
from waspi.cli.console import write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.errors import StorageError, UsageError

PACKAGED = "/usr/lib/waspi/bin/waspi"
"""The program that the unit names as it stands."""
HIDDEN = ("/home", "/root", "/run/user")
"""What ``ProtectHome=yes`` hides from the service."""
CONFIGURATION = Path("etc/waspi/waspi.toml")

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


def unit(name: str, program: Path) -> str:
    """The text of ``waspi.service`` or ``waspi-depot.service`` for ``program``, the absolute path of ``waspi``.

    Raises ``UsageError`` where the service could not reach it.
    """
    if str(program).startswith(HIDDEN):
        raise UsageError(
            f"{program} lies in a home folder, which the service must not see; "
            "install with: python3 -m venv /opt/waspi && /opt/waspi/bin/pip install waspi"
        )
    text = files("waspi.cli").joinpath("units", f"{name}.service").read_text(encoding="utf-8")
    home = program.parent.parent
    text = text.replace(PACKAGED, str(program))
    if not str(program).startswith("/usr/"):
        text = text.replace("ExecPaths=/usr /lib\n", f"ExecPaths=/usr /lib {home}\n")
    return text


def install(root: Path, program: Path) -> list[Path]:
    """Write unit, configuration and the credentials' folder below ``root`` (``/`` but in tests); what was written.

    An existing configuration is left alone. Raises ``StorageError`` when ``root`` cannot be written.
    """
    written = []
    try:
        service = root / "etc/systemd/system/waspi.service"
        service.parent.mkdir(parents=True, exist_ok=True)
        service.write_text(unit("waspi", program))
        written.append(service)
        configuration = root / CONFIGURATION
        configuration.parent.mkdir(parents=True, exist_ok=True)
        if not configuration.exists():
            configuration.write_text(EXAMPLE, encoding="utf-8")
            written.append(configuration)
        credentials = configuration.parent / "credentials"
        if not credentials.exists():
            credentials.mkdir(mode=0o700)
            written.append(credentials)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename}: {error.strerror}; try with sudo") from error
    return written


@app.command(epilog=examples("sudo /opt/waspi/bin/waspi install-service", "waspi install-service --show"))
def install_service(
    show: Annotated[bool, typer.Option("--show", help="Print the unit and write nothing.")] = False,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Write below DIR, for images.")] = Path("/"),
) -> int:
    """Install this waspi as a systemd service, hardened and restarted when it fails; starting it is left to you."""
    program = Path(sys.argv[0]).absolute() if Path(sys.argv[0]).name == "waspi" else Path(sys.prefix) / "bin" / "waspi"
    if show:
        write_line(unit("waspi", program).rstrip("\n"))
        return ExitCode.OK
    for path in install(root, program):
        write_line(f"wrote {path}")
    if root == Path("/") and os.path.isdir("/run/systemd/system"):  # noqa: PTH112 - sd_booted(3), as it is documented
        write_line("next: edit /etc/waspi/waspi.toml, then: systemctl daemon-reload && systemctl enable --now waspi")
    return ExitCode.OK
