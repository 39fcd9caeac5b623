"""``waspi restore``: what ``waspi backup`` wrote comes back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.fleet import backup

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sudo waspi restore pi-7.tar.gz",
        "waspi restore ops.tar.gz --force",
        "waspi restore pi-7.tar.gz --list",
    )
)
def restore(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of waspi backup.")],
    *,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Write below DIR, for images.")] = Path("/"),
    force: Annotated[bool, typer.Option("--force", help="Move folders that are in the way aside.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Say what it is, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Put the folders of a backup back where they were, each whole or not at all. Stop the agent first.

    A board that comes back knows the modules and releases of the day of its backup, and takes newer ones at the next
    look for updates. Of jobs it knows nothing, unless the backup was a --move.
    """
    found = backup.read_manifest(archive)
    made = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(found.made))
    places = list(found.places.values()) if only_list else backup.restore(archive, root, force=force)
    if as_json:
        folders = [str(each) for each in places]
        write_json({"kind": found.kind, "version": found.version, "made": made, "places": folders})
        return ExitCode.OK
    note(f"{archive}: {found.kind} of {made}, by waspi {found.version}")
    for place in places:
        write_line(str(place))
    return ExitCode.OK
