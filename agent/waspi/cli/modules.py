"""``waspi modules``: the deployed modules of the device on which it is called."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.device.settings import default_state_dir
from waspi.errors import StorageError
from waspi.updates.lifecycle import Life, ModuleRecord
from waspi.updates.local_requests import ask_check
from waspi.updates.modules_file import FOLDER, read_modules

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

StateDirOption = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="The device's device.state_dir, by default /var/lib/waspi."),
]


@app.command(epilog=examples("waspi modules", "waspi modules --json", "waspi modules --check"))
def modules(
    *,
    state_dir: StateDirOption = None,
    check: Annotated[bool, typer.Option("--check", help="Also have the agent look for updates now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show the modules that were deployed to this device: versions, states, and why one was given up."""
    folder = state_dir or default_state_dir()
    records = records_of(folder)
    if check:
        ask_check(folder / FOLDER)
    if as_json:
        write_json({"modules": [_json_of_life(life) for record in records for life in record.lives]})
        return ExitCode.OK
    if not records:
        write_line("no update brought a module to this device (those of its configuration are not listed here)")
        return ExitCode.OK
    write_line(f"{'module':<24} {'version':<16} {'state':<12} {'sha256':<14} {'deployed by':<20} reason")
    for record in records:
        for life in record.lives:
            release = life.release
            by = f"{life.group} #{life.serial}"
            what = f"{record.name:<24} {release.version:<16} {life.state:<12} {release.sha256[:12]:<14}"
            write_line(f"{what} {by:<20} {life.reason}".rstrip())
    return ExitCode.OK


def records_of(folder: Path) -> list[ModuleRecord]:
    """The modules' records in a device's state folder, by name; raises ``StorageError``."""
    if not folder.is_dir():
        raise StorageError(f"{folder} is no state folder of a device; name it with --state-dir")
    return [record for _, record in sorted(read_modules(folder).items())]


def _json_of_life(life: Life) -> dict[str, object]:
    release = life.release
    return {
        "name": release.name,
        "version": release.version,
        "sha256": release.sha256,
        "bytes": release.length,
        "state": str(life.state),
        "reason": life.reason or None,
        "group": life.group,
        "serial": life.serial,
        "retry": life.retry,
        "barred": life.barred,
    }
