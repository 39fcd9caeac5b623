"""Options of the commands that work on an update repository."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.errors import UsageError
from waspi.fleet.module_source import module_from
from waspi.model.module import InlineModule
from waspi.protocol.ids import is_id, is_version

RepoOption = Annotated[
    Path,
    typer.Option("--repo", metavar="DIR", envvar="WASPI_REPO", help="Folder of the update repository."),
]
KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", metavar="DIR", help="Folder of its private keys, when it is not where init put it."),
]
SigningKeysOption = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="A root key elsewhere, on a stick for example; may be repeated."),
]


def release_named(text: str) -> tuple[str, str]:
    """Read ``NAME@VERSION``; raises :class:`UsageError`."""
    name, sign, version = text.partition("@")
    if not sign or not is_id(name) or not is_version(version):
        raise UsageError(f"{text!r} is no release; write NAME@VERSION, for example stats@1.2.0")
    return name, version


def percent(text: str) -> float:
    """Read a percentage with or without its sign; raises :class:`UsageError`."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise UsageError(f"{text!r} is no percentage; write 10% or 0.5%") from error
    if not 0 <= value <= 100:  # noqa: PLR2004 - per cent
        raise UsageError(f"{text!r} is no percentage from 0% to 100%")
    return value


def wasm_of(path: Path) -> bytes:
    """Read a module's file, text or bytecode; raises :class:`OperatorError` or :class:`InvalidModuleError`."""
    source = module_from(path)
    if not isinstance(source, InlineModule):
        raise UsageError(f"{path} is no file")
    return source.wasm
