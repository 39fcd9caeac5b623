"""How a job names the module that it wants to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BYTECODE: Final = b"\0asm"
"""How WebAssembly's binary format begins (core specification, 5.5.16)."""
_TEXT: Final = (b"(", b";")
_TEXT_FILES: Final = (".wat", ".wast")
DIGEST_PREFIX: Final = "sha256:"


SCRIPT_FILES: Final = (".js", ".mjs")
"""How the names of files end that hold a function in JavaScript."""
_FILES: Final = (".wasm", *_TEXT_FILES, *SCRIPT_FILES)


def is_text(content: bytes, name: str) -> bool:
    """Whether the content of a file of that name is WebAssembly's text format, going by how both look (``bool``)."""
    looks = name.endswith(_TEXT_FILES) or content.lstrip().startswith(_TEXT)
    return looks and not content.startswith(BYTECODE)


@dataclass(frozen=True, slots=True)
class InlineModule:
    """The bytecode itself came with the job."""

    wasm: bytes


@dataclass(frozen=True, slots=True)
class DigestModule:
    """A module that the device already has, by the SHA-256 of its bytes."""

    sha256: str
    """64 lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class NamedModule:
    """A module that was deployed to the device under a name; without a version, the active one."""

    name: str
    version: str | None = None


ModuleRef = InlineModule | DigestModule | NamedModule


class TextIs(StrEnum):
    """What a text is that names a module, for every function and command that takes one."""

    SOURCE = "source"
    """WebAssembly text: it begins with a parenthesis or a comment."""
    DIGEST = "digest"
    """``sha256:`` and 64 hexadecimal digits."""
    FILE = "file"
    """It has a slash, or ends as modules do: ``.wasm``, ``.wat``, ``.js``."""
    NAME = "name"
    """``name`` or ``name@version`` of a deployed module."""


def text_is(text: str) -> TextIs:
    """Tell what ``text`` is; whether it is a good one of its kind is for its reader to see."""
    if text.lstrip().startswith(("(", ";")):
        return TextIs.SOURCE
    if text.startswith(DIGEST_PREFIX):
        return TextIs.DIGEST
    return TextIs.FILE if "/" in text or text.endswith(_FILES) else TextIs.NAME
