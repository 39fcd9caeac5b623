"""``waspi new``: a folder with a function that builds and is tested at once."""

import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from waspi.cli.console import note, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.errors import OperatorError, UsageError
from waspi.protocol.ids import is_id

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

TEMPLATES: Final = Path(__file__).resolve().with_name("templates")
_NAME: Final = "@name@"
_SUFFIX: Final = ".in"
"""Of files that would be taken for parts of waspi by their own ending."""


class Language(StrEnum):
    """What a new folder is in."""

    JAVASCRIPT = "javascript"
    RUST = "rust"
    C = "c"
    ZIG = "zig"
    GO = "go"
    ASSEMBLYSCRIPT = "assemblyscript"
    PYTHON_CLIENT = "python-client"


@app.command(epilog=examples("waspi new mean --lang javascript", "waspi new filter --lang rust", "waspi test filter"))
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the function and of its folder.")],
    *,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the function.")] = Language.JAVASCRIPT,
    into: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="The folder, by default NAME; must not be there.")
    ] = None,
) -> int:
    """Make a folder with a function, its description, golden pairs, a build script and a README.

    It builds and passes `waspi test` at once. python-client is a program that asks boards for results.
    """
    if not is_id(name):
        raise UsageError(f"{name!r} is no name: it has a-z, 0-9 and -, and begins with a letter or a digit")
    folder = into or Path(name)
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name or --dir")
    make(name, lang, folder)
    for path in sorted(folder.rglob("*")):
        write_line(str(path))
    if lang is not Language.PYTHON_CLIENT:
        note(f"now: waspi test {folder}")
    return ExitCode.OK


def make(name: str, lang: Language, folder: Path) -> None:
    """Fill ``folder`` from the language's template, whole or not at all. Raises :class:`OperatorError`."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".waspi-new-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            for source in sorted((TEMPLATES / lang).iterdir()):
                target = made / source.name.replace(_NAME, name).removesuffix(_SUFFIX)
                target.write_text(source.read_text(encoding="utf-8").replace(_NAME, name), encoding="utf-8")
                shutil.copymode(source, target)
            made.rename(folder)
    except OSError as error:
        raise OperatorError(f"cannot make {folder}: {error.strerror}") from error
