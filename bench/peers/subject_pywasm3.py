"""pywasm3: an interpreter. A module belongs to its runtime, so a fresh instance parses it again."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import wasm3

HEADROOM = 30
STACK_BYTES = 65536


def version() -> str:
    """Of the package."""
    return f"pywasm3 {metadata.version('pywasm3')}"


def bind(environment: wasm3.Environment, wasm: bytes) -> Callable[[bytes], bytes]:
    """Parse, load and look the exports up once."""
    runtime = environment.new_runtime(STACK_BYTES)
    runtime.load(environment.parse_module(wasm))
    alloc, append, dealloc = (runtime.find_function(name) for name in ("alloc", "append", "dealloc"))

    def call(data: bytes) -> bytes:
        size = len(data)
        pointer = alloc(size + HEADROOM)
        runtime.get_memory(0)[pointer : pointer + size] = data
        end = pointer + append(pointer, size)
        output = bytes(runtime.get_memory(0)[pointer:end])  # anew: append may have grown the memory
        dealloc(pointer, size + HEADROOM)
        return output

    return call


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """``compile`` is parsing and its translation of the three functions; there is nothing to load ahead of time."""
    environment = wasm3.Environment()
    warm = bind(environment, wasm)
    return {
        "warm": lambda: warm(data),
        "fresh": lambda: bind(environment, wasm)(data),
        "compile": lambda: bind(environment, wasm),
    }
