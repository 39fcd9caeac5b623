"""Guests as text, and the usual way to run them."""

from __future__ import annotations

from typing import TypedDict

from waspi import _wasmer

COMPILES = _wasmer.ENGINE.startswith("wasmer")
"""Whether the engine is the compiler. The interpreter of 32-bit ARM does not tell where a trap was, and has no SIMD."""


class Limits(TypedDict):
    """Limits as keywords of ``Module.run``."""

    fuel: int
    memory_bytes: int
    time_ms: int
    output_bytes: int
    log_bytes: int


LIMITS: Limits = {
    "fuel": 1_000_000_000,
    "memory_bytes": 16 << 20,
    "time_ms": 20_000,
    "output_bytes": 1 << 20,
    "log_bytes": 4096,
}


def limits(**changes: int) -> Limits:
    """``LIMITS`` with changes."""
    return {**LIMITS, **changes}  # type: ignore[typeddict-item]


ALLOC = '(func $alloc (export "alloc") (param i32) (result i32) (i32.const 1024))'
ECHO = '(func $append (export "append") (param i32 i32) (result i32) (local.get 1))'
MEMORY = '(memory (export "memory") 1)'
LOOP = "(loop (br 0))"


def compile_wat(text: str, bounds: _wasmer.Bounds | None = None) -> _wasmer.Module:
    """Compile a whole module."""
    return _wasmer.Module.compile(_wasmer.wat2wasm(text.encode()), bounds=bounds)


def guest(entry: str = ECHO, alloc: str = ALLOC, memory: str = MEMORY, imports: str = "") -> str:
    """Text of a module with the given parts instead of the usual ones."""
    return f"(module {imports} {memory} {alloc} {entry})"


def entry(body: str, before: str = "") -> str:
    """Text of a module whose entry function has this body; ``before`` comes first in it."""
    function = f'(func $append (export "append") (param $ptr i32) (param $size i32) (result i32) {body})'
    return guest(entry=function, imports=before)
