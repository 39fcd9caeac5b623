"""``waspi dev``: builds and runs a function again whenever a file of its folder changes."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from waspi.cli.console import complain_of, note, write_bytes, write_log
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.input_source import InputArgument, InputFileOption, read_input
from waspi.cli.project import Project
from waspi.errors import WaspiError

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_LOOK_MS: Final = 200
"""Milliseconds after which the watcher comes back without a change."""
_LEFT_OUT: Final = ("node_modules", ".git", "__pycache__", "target", "zig-out", ".zig-cache")


@app.command(epilog=examples("waspi dev", "waspi dev mean", """waspi dev mean '{"readings":[1,2]}'"""))
def dev(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A folder made by waspi new.")] = Path(),
    text: InputArgument = None,
    *,
    input_file: InputFileOption = None,
    once: Annotated[bool, typer.Option("--once", help="Build and run once, and do not watch.")] = False,
) -> int:
    """Build the function in DIR and run it, again after every change of a file, until Ctrl-C.

    The input is INPUT, --input-file or, without either, that of each golden pair. Output goes to stdout; log, fuel,
    memory and time to stderr.
    """
    given = None if text is None and input_file is None else read_input(text, input_file)
    Project.read(folder)
    if once:
        return ExitCode.OK if _turn(folder, given) else ExitCode.JOB_FAILED
    from watchfiles import watch  # noqa: PLC0415 - --once goes without it

    batches = watch(folder, raise_interrupt=False, yield_on_timeout=True, rust_timeout=_LOOK_MS)
    next(batches)  # from here on no change is missed
    _turn(folder, given)
    note(f"watching {folder}; Ctrl-C ends")
    for changes in batches:
        made = _made(folder)
        changed = {Path(path).resolve() for _, path in changes}
        if any(_counts(path, folder) and path not in made for path in changed):
            _turn(folder, given)
    return ExitCode.OK


def _made(folder: Path) -> set[Path]:
    """What the build writes, whose change is no reason to build again. Nothing, where the module is the source."""
    try:
        project = Project.read(folder)
    except WaspiError:
        return set()
    return set() if project.build is None else {project.module.resolve()}


def _counts(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder.resolve()).parts if path.is_relative_to(folder.resolve()) else ()
    return (
        bool(parts)
        and not any(part in _LEFT_OUT or part.startswith("broken-") for part in parts)
        and path.suffix != ".o"
    )


def _turn(folder: Path, given: bytes | None) -> bool:
    """Build and run once, and say what came of it; whether all was well."""
    begun = time.monotonic()
    well = True
    try:
        project = Project.read(folder)
        said = project.make().strip()
        if said:
            note(said)
        with project.load() as module:
            note(f"--- {project.module.name}, ready after {time.monotonic() - begun:.2f} s")
            inputs = [given] if given is not None else [pair.input for pair in project.golden()] or [b""]
            for data in inputs:
                try:
                    outcome = module.run(data, limits=project.limits)
                except WaspiError as error:
                    well = False
                    write_log(error.log)
                    complain_of(error)
                    continue
                write_log(outcome.log)
                write_bytes(outcome.output + (b"" if outcome.output.endswith(b"\n") else b"\n"))
                note(f"    {outcome.fuel:,} fuel, {outcome.memory_bytes // 1024:,} KiB, {outcome.run_us:,} us")
    except WaspiError as error:
        complain_of(error)
        return False
    return well
