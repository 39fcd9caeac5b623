"""Compiles and runs modules from its standard input: what this process does not survive, a worker would not either.

In: 4 bytes of length (big endian), then the module. Out: one letter each: ``r`` ran, ``t`` stopped by trap or limit,
``n`` not compiled.
"""

from __future__ import annotations

import sys

from waspi._wasmer import Bounds, Module
from waspi.errors import ModuleError, WaspiError

BOUNDS = Bounds(
    module_bytes=1 << 20, functions=500, body_bytes=20_000, memory_bytes=1 << 22, table_elements=5_000, compile_ms=5_000
)


def verdict(wasm: bytes) -> bytes:
    """What becomes of a module; anything but waspi's own errors is raised."""
    try:
        module = Module.compile(wasm, bounds=BOUNDS)
    except ModuleError:
        return b"n"
    except WaspiError:
        return b"n"
    try:
        module.run(b"input", fuel=200_000, memory_bytes=1 << 22, time_ms=500, output_bytes=4096)
    except WaspiError as error:
        if not error.message.isprintable():
            raise
        return b"t"
    return b"r"


def main() -> None:
    while size := sys.stdin.buffer.read(4):
        wasm = sys.stdin.buffer.read(int.from_bytes(size))
        sys.stdout.buffer.write(verdict(wasm))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
