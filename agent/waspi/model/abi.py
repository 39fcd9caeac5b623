"""The ABI description that travels with a module (``guests/ABI.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ModuleFormat(StrEnum):
    """What a module's bytes are."""

    WASM = "wasm"
    JAVASCRIPT = "javascript"
    """The source of an ES module, UTF-8."""


class Encoding(StrEnum):
    """What a script's function takes and gives, and how it stands in the input's and the result's bytes."""

    TEXT = "text"
    """A string; UTF-8."""
    BYTES = "bytes"
    """A ``Uint8Array``; the bytes themselves."""
    JSON = "json"
    """Any value that JSON has (RFC 8259)."""
    CBOR = "cbor"
    """Any value that CBOR has (RFC 8949); what is written is deterministic (4.2.1)."""


@dataclass(frozen=True, slots=True)
class Abi:
    """Names and numbers by which the host talks to a guest; the defaults are the reference ABI."""

    memory: str = "memory"
    """Export that is the linear memory."""
    alloc: str = "alloc"
    """Export ``(size: i32) -> i32``: address of a fresh buffer."""
    entry: str = "append"
    """Export ``(ptr: i32, size: i32) -> i32`` (new size) or ``-> i64`` (``ptr << 32 | size``); of a script the export
    that is its function, ``default`` in :data:`SCRIPT_ABI`."""
    headroom: int = 30
    """Bytes that the host allocates beyond the input's size."""
    input: str | None = None
    """Type of the input, for people and tools; not interpreted."""
    output: str | None = None
    """Type of the output, for people and tools; not interpreted."""
    format: ModuleFormat = ModuleFormat.WASM
    encoding: Encoding | None = None
    """Of a script; ``None``: what the script says itself, else text."""


DEFAULT_ABI = Abi()
SCRIPT_ABI = Abi(entry="default", format=ModuleFormat.JAVASCRIPT)
"""Of a script that nothing else is said about."""
ENGINE_ABI = Abi(entry="call", headroom=0)
"""By which the host talks to the engine that runs a script."""


def environment_block(variables: Mapping[str, str]) -> bytes:
    """WASI's environment as one block: ``NAME=value`` in UTF-8, each ended by a NUL."""
    pairs = (f"{name}={value}".replace("\0", "") for name, value in variables.items())
    return b"".join(pair.encode("utf-8", "replace") + b"\0" for pair in pairs)


def script_head(abi: Abi, file: str = "main.js") -> bytes:
    """What stands before the source in what the engine's ``load`` is given: entry, encoding, the file's name.

    Each is UTF-8, ended by a NUL (``guests/javascript/engine.c``).
    """
    parts = (abi.entry, abi.encoding or "", file)
    return b"".join(part.replace("\0", "").encode("utf-8", "replace") + b"\0" for part in parts)
