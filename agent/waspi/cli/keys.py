"""``waspi keys``: the keys that sign jobs."""

import base64
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import note, write_json, write_line, write_text
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.fleet.key_file import KeyFile
from waspi.fleet.user_folder import keys_folder

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Make and show the Ed25519 keys that sign jobs.",
)

FolderOption = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Folder of the keys; by default ~/.config/waspi/keys.")
]


@app.command(epilog=examples("waspi keys new ops", "waspi keys new ops --dir /media/stick >> device.toml"))
def new(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Name of the key: a-z, 0-9 and -.")],
    *,
    folder: FolderOption = None,
) -> int:
    """Make a key: ID.key (private, mode 0600) and ID.pub.

    Standard output is what a device's configuration needs to trust it. Narrow it there with groups and modules.
    """
    key = KeyFile.create(folder or keys_folder(), key_id)
    note(f"private key: {key.path} (keep it; waspi push --sign {key_id} uses it)")
    note("paste into the configuration of the devices that shall trust it:")
    write_text(key.toml())
    return ExitCode.OK


@app.command("list", epilog=examples("waspi keys list"))
def list_keys(*, folder: FolderOption = None, as_json: JsonOption = False) -> int:
    """List the keys: id, public key, and whether the private half is here."""
    keys = KeyFile.all(folder or keys_folder())
    rows = [_row(key) for key in keys]
    if as_json:
        write_json(rows)
        return ExitCode.OK
    if not rows:
        note(f"no keys in {folder or keys_folder()}; make one with: waspi keys new ID")
    for row in rows:
        write_line(f"{row['id']:<24} {row['public_key']}  {'private' if row['private'] else 'public only'}")
    return ExitCode.OK


@app.command(epilog=examples("waspi keys show ops", "waspi keys show ./ops.pub --json"))
def show(
    name: Annotated[str, typer.Argument(metavar="ID|FILE", help="A key's id, or the path of its file.")],
    *,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> int:
    """Print the lines of a device's configuration that trust a key."""
    key = KeyFile.find(folder or keys_folder(), name)
    if as_json:
        write_json(_row(key))
    else:
        write_text(key.toml())
    return ExitCode.OK


def _row(key: KeyFile) -> dict[str, object]:
    return {
        "id": key.id,
        "public_key": base64.b64encode(key.public_bytes()).decode("ascii"),
        "private": key.private,
        "path": str(key.path),
    }
