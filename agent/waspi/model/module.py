"""How a job names the module that it wants to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BYTECODE: Final = b"\0asm"
"""How WebAssembly's binary format begins (core specification, 5.5.16)."""
_TEXT: Final = (b"(", b";")
_TEXT_FILES: Final = (".wat", ".wast")


SCRIPT_FILES: Final = (".js", ".mjs")
"""How the names of files end that hold a function in JavaScript."""


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
