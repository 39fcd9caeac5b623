"""``waspi backup``: what a board or an operator would miss, in one archive."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.device.settings import default_state_dir
from waspi.errors import UsageError
from waspi.fleet.backup import JOURNAL, back_up, is_state, journal_to_move
from waspi.fleet.user_folder import keys_folder, user_folder

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Back up a board's state, or an operator's keys and folders; waspi restore brings it back.",
)

OutOption = Annotated[Path, typer.Option("--out", metavar="FILE", help="The archive, .tar.gz.")]


@app.command(
    epilog=examples(
        "sudo waspi backup device --out pi-7.tar.gz",
        "sudo systemctl stop waspi && sudo waspi backup device --move --out pi-7.tar.gz   (to a new card)",
    )
)
def device(
    *,
    out: OutOption,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", metavar="DIR", help="device.state_dir, by default /var/lib/waspi.")
    ] = None,
    config_dir: Annotated[
        Path, typer.Option("--config-dir", metavar="DIR", help="Folder of its configuration and credentials.")
    ] = Path("/etc/waspi"),
    move: Annotated[
        bool, typer.Option("--move", help="Jobs and results, too; the agent must not run, and keeps none of them.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Back up this board: configuration, credentials, modules, and what it knows of updates. The agent may run.

    Jobs and results are left out, since what waits now has run when the backup is restored, and would run again. To
    bring them to a new disk, stop the agent and say --move.
    """
    state = state_dir or default_state_dir()
    if not state.is_dir():
        raise UsageError(f"{state} is no state folder of a device; name it with --state-dir")
    state, config_dir = state.absolute(), config_dir.absolute()
    places, prefix = {"state": state}, "state"
    if state.is_relative_to(config_dir):
        places, prefix = {"config": config_dir}, f"config/{state.relative_to(config_dir)}"
    elif config_dir.is_dir():
        places["config"] = config_dir
    if not config_dir.is_dir():
        note(f"there is no {config_dir}: the configuration is not in the backup (--config-dir)")
    with journal_to_move(state) if move else contextlib.nullcontext() as journal:
        more = {f"{prefix}/{JOURNAL}": journal} if journal is not None else {}
        count = back_up(out, "device", places, keep=is_state, more=more)
    return _tell(out, count, places, as_json=as_json)


@app.command(
    epilog=examples(
        "waspi backup operator --out ops.tar.gz",
        "waspi backup operator --out ops.tar.gz --dir ./broker --dir ./releases",
    )
)
def operator(
    *,
    out: OutOption,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--dir", metavar="DIR", help="A folder more: the broker's, a repository's; repeat it."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Back up the operator's side: profiles and keys (~/.config/waspi), and the folders that you name.

    Whoever has the archive can speak for the whole fleet: keep it where keys are kept.
    """
    places = {name: path for name, path in (("user", user_folder()), ("keys", keys_folder())) if path.is_dir()}
    if "user" in places and "keys" in places and places["keys"].is_relative_to(places["user"]):
        del places["keys"]
    for number, folder in enumerate(folders or []):
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}")
        places[f"folder-{number}"] = folder
    if not places:
        raise UsageError(f"nothing to back up: there is no {user_folder()}, and no --dir")
    return _tell(out, back_up(out, "operator", places), places, as_json=as_json)


def _tell(out: Path, count: int, places: dict[str, Path], *, as_json: bool) -> int:
    size = out.stat().st_size
    if as_json:
        folders = [str(each) for each in places.values()]
        write_json({"archive": str(out), "files": count, "bytes": size, "places": folders})
    else:
        write_line(str(out))
        note(f"{count} files, {size} bytes, of {', '.join(map(str, places.values()))}; it holds private keys")
    return ExitCode.OK
