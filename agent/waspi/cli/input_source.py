"""Where a command's input comes from: the argument, a file, or standard input."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from waspi.errors import OperatorError, UsageError

InputArgument = Annotated[
    str | None,
    typer.Argument(metavar="INPUT", help="Input as text. Without it, and without --input-file, what is piped in."),
]
InputFileOption = Annotated[
    str | None,
    typer.Option("--input-file", metavar="FILE", help="Read the input from a file; - is standard input."),
]


def read_input(text: str | None, file: str | None) -> bytes:
    """Read the input: ``text`` if given, else the bytes of ``file``, else a pipe on stdin as filters do.

    Raises :class:`UsageError` when both are given, or when none is and stdin is a terminal.
    """
    if text is not None and file is not None:
        raise UsageError("INPUT and --input-file exclude each other; give one")
    if text is not None:
        return os.fsencode(text)
    if file is not None and file != "-":
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise OperatorError(f"cannot read the input {file}: {error.strerror}") from error
    if file is None and sys.stdin.isatty():
        raise UsageError('no input; give INPUT, --input-file FILE, or pipe it in (an empty input is "")')
    return sys.stdin.buffer.read()
