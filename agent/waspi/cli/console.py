"""What commands write: results to stdout, everything else to stderr.

Nothing that a stranger said reaches a terminal as it is (:mod:`waspi.cli.visible`): raw bytes go into pipes and files
only, where somebody asked for a raw output.
"""

from __future__ import annotations

import base64
import errno
import logging
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, cast

import typer

from waspi.cli.exit_code import ExitCode, party_of
from waspi.cli.visible import json_line, visible, visible_bytes
from waspi.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from waspi.errors import WaspiError
    from waspi.model.result import JobError


class _LogToStderr(logging.Handler):
    """Warnings of waspi's own, as one note each; they may quote a stranger's topic."""

    def emit(self, record: logging.LogRecord) -> None:
        note(f"waspi: {record.getMessage()}")


def set_up_streams() -> None:
    """Have the streams write whatever there is to say, and warnings of the log go the way of every other note.

    Characters that the terminal's encoding does not have are written as escapes, rather than end a command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_LogToStderr(logging.WARNING))


def write_bytes(content: bytes) -> None:
    """Write an output to stdout, nothing added: raw, but on a terminal with its control characters visible."""
    with stdout() as stream:
        if stream.isatty():
            stream.write(visible_bytes(content))
        else:
            stream.flush()
            stream.buffer.write(content)


def write_log(content: bytes) -> None:
    """Write what a guest logged to stderr, control characters visible, ending in a newline."""
    if content:
        note(visible_bytes(content.removesuffix(b"\n")), keep="\n\t")


def write_line(text: str, *, head: str = "", colour: str = "") -> None:
    """Write one line of a result to stdout; ``head`` stands before it, on a terminal in ``colour``."""
    with stdout() as stream:
        head = visible(head)
        if colour and stream.isatty():
            head = typer.style(head, fg=colour)
        print(head + visible(text, keep="\t"), file=stream)


def write_text(text: str) -> None:
    """Write lines of text to stdout, ending in a newline."""
    with stdout() as stream:
        print(visible(text.rstrip("\n"), keep="\n\t"), file=stream)


def write_json(document: Mapping[str, object] | Sequence[object]) -> None:
    """Write one JSON document on one line to stdout: UTF-8 (RFC 8259, 8.1), whatever the terminal's encoding is."""
    with stdout() as stream:
        stream.flush()
        stream.buffer.write(json_line(document).encode() + b"\n")


@contextmanager
def stdout() -> Iterator[TextIOWrapper]:
    """Give stdout and flush it.

    Ends the command quietly when its reader has gone (head, less), as its right is; raises :class:`StorageError` when
    the output is lost for another reason.
    """
    stream = cast("TextIOWrapper", sys.stdout)
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        drop_stdout()
        raise typer.Exit(ExitCode.PIPE) from None
    except OSError as error:
        drop_stdout()
        why = "standard output is closed" if error.errno == errno.EBADF else error.strerror
        raise StorageError(f"the output is lost: {why}") from error


def drop_stdout() -> None:
    """Send what is left to nowhere: Python would flush it again at exit and complain; nobody reads that any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str, *, keep: str = "") -> None:
    """Tell the person something on stderr; ``keep`` as in :func:`waspi.cli.visible.visible`."""
    print(visible(text, keep=keep), file=sys.stderr, flush=True)  # noqa: T201 - stderr is this function's job


def complain(party: str, message: str) -> None:
    """Write the one line of an error to stderr: ``waspi: <party>: <message>``."""
    note(f"waspi: {party}: {' '.join(message.split())}")


def complain_of(error: WaspiError) -> None:
    """Write the one line of ``error``, with the place in the guest where the engine knows it."""
    place = ""
    if error.function is not None and error.function not in error.message:
        place += f" in {error.function}"
    if error.offset is not None and str(error.offset) not in error.message:
        place += f" at offset {error.offset:#x}"
    complain(party_of(error), error.message + (f" ({place.strip()})" if place else ""))


def json_of_error(error: WaspiError | JobError) -> dict[str, object]:
    """Give an error, met here or told by a device, as a result has it: fault, kind, message, and where it happened."""
    document: dict[str, object] = {"fault": str(error.fault), "kind": error.kind, "message": error.message}
    if error.function is not None:
        document["function"] = error.function
    if error.offset is not None:
        document["offset"] = error.offset
    return document


def json_of_bytes(name: str, content: bytes) -> dict[str, object]:
    """Give bytes as JSON can carry them: ``name`` is the text or null, ``name_base64`` is always exact."""
    try:
        text: str | None = content.decode()
    except UnicodeDecodeError:
        text = None
    return {name: text, f"{name}_base64": base64.b64encode(content).decode("ascii")}
