"""The JavaScript engine that waspi brings along: a guest module, built from ``guests/javascript``.

It lies in the package compressed, with the facts of it beside it, so that its digest is known without unpacking it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from waspi.errors import DeviceError

_PACKED: Final = Path(__file__).resolve().with_name("javascript.wasm.xz")
_FACTS: Final = Path(__file__).resolve().with_name("javascript.json")


@dataclass(frozen=True, slots=True)
class Engine:
    """Which engine this installation has."""

    name: str
    """Name and version, for example ``quickjs-ng 0.16.2``."""
    sha256: str
    """Digest of its bytecode, 64 lower-case hexadecimal digits."""
    length: int
    """Bytes of its bytecode."""


@cache
def engine() -> Engine:
    """Which engine this installation has. Raises ``DeviceError`` where there is none."""
    try:
        facts = json.loads(_FACTS.read_bytes())
        return Engine(facts["engine"], facts["sha256"], facts["bytes"])
    except (OSError, ValueError, KeyError) as error:
        raise DeviceError(
            f"this installation has no JavaScript engine ({_FACTS.name}: {error}); reinstall waspi"
        ) from error


def bytecode() -> bytes:
    """The engine's module, about 1 MB. Raises ``DeviceError`` where it is missing or damaged."""
    import lzma  # noqa: PLC0415 - an agent without scripts need not carry it

    expected = engine()
    try:
        wasm = lzma.decompress(_PACKED.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DeviceError(
            f"the JavaScript engine cannot be unpacked ({_PACKED.name}: {error}); reinstall waspi"
        ) from error
    if hashlib.sha256(wasm).hexdigest() != expected.sha256:
        raise DeviceError(f"the JavaScript engine is damaged ({_PACKED.name}); reinstall waspi")
    return wasm
