"""What commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, cast

import typer

from waspi.cli.exit_code import ExitCode, party_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from waspi.errors import WaspiError
    from waspi.model.result import JobError


def escape_what_the_terminal_lacks() -> None:
    """Have characters that the terminal's encoding does not have written as escapes, rather than end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_bytes(content: bytes) -> None:
    """Write raw bytes to stdout, nothing added."""
    with _stdout() as stdout:
        stdout.flush()
        stdout.buffer.write(content)


def write_log(content: bytes) -> None:
    """Write what a guest logged to stderr, as it is, ending in a newline."""
    if content:
        sys.stderr.flush()
        sys.stderr.buffer.write(content if content.endswith(b"\n") else content + b"\n")
        sys.stderr.buffer.flush()


def write_line(text: str) -> None:
    """Write one line of a result to stdout."""
    with _stdout() as stdout:
        print(text, file=stdout)


def write_json(document: Mapping[str, object] | Sequence[object]) -> None:
    """Write one JSON document on one line to stdout: UTF-8 (RFC 8259, 8.1), whatever the terminal's encoding is."""
    # What is no text (a file's name may be bytes) becomes an escape, which JSON reads.
    write_bytes(json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


@contextmanager
def _stdout() -> Iterator[TextIOWrapper]:
    """Give stdout, flush it, and end the command quietly when its reader has gone (head, less), as its right is."""
    stdout = cast("TextIOWrapper", sys.stdout)
    try:
        yield stdout
        stdout.flush()
    except BrokenPipeError:
        # Python would flush again at exit and complain; nobody reads that any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        raise typer.Exit(ExitCode.PIPE) from None


def note(text: str) -> None:
    """Tell the person something on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is this function's job


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
