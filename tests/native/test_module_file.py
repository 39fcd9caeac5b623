"""The module's file has no more in it than a board needs."""

from __future__ import annotations

import struct
from pathlib import Path

from waspi import _wasmer

SYMBOLS = 2
"""Type of the section that strip(1) takes away (``SHT_SYMTAB``, elf(5)); what the loader reads is another."""


def section_types(elf: bytes) -> list[int]:
    """Of every section; for 32- and 64-bit files, little-endian."""
    wide = elf[4] == 2
    (start,) = struct.unpack_from("<Q" if wide else "<I", elf, 40 if wide else 32)
    size, count = struct.unpack_from("<HH", elf, 58 if wide else 46)
    return [struct.unpack_from("<I", elf, start + size * index + 4)[0] for index in range(count)]


def test_the_module_is_stripped() -> None:
    """A quarter of its size; cargo forgets about it where a package has a profile of its own."""
    types = section_types(Path(_wasmer.__file__).read_bytes())
    assert len(types) > 10
    assert SYMBOLS not in types
