"""wasmer-python 1.1.0, the last release (January 2022): cranelift, memory through the buffer protocol."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from wasmer import Instance, Module, Store, engine
from wasmer_compiler_cranelift import Compiler

HEADROOM = 30


def version() -> str:
    """Of the package."""
    return f"wasmer-python {metadata.version('wasmer')}"


def bind(module: Module) -> Callable[[bytes], bytes]:
    """Instantiate and look the exports up once."""
    exports = Instance(module).exports
    memory, alloc, append, dealloc = exports.memory, exports.alloc, exports.append, exports.dealloc

    def call(data: bytes) -> bytes:
        size = len(data)
        pointer = alloc(size + HEADROOM)
        memoryview(memory.buffer)[pointer : pointer + size] = data
        end = pointer + append(pointer, size)
        output = bytes(memoryview(memory.buffer)[pointer:end])  # anew: append may have grown the memory
        dealloc(pointer, size + HEADROOM)
        return output

    return call


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """Nothing is metered or bounded."""
    store = Store(engine.Universal(Compiler))
    module = Module(store, wasm)
    artifact = module.serialize()
    warm = bind(module)
    return {
        "warm": lambda: warm(data),
        "fresh": lambda: bind(module)(data),
        "compile": lambda: Module(store, wasm),
        "load": lambda: Module.deserialize(store, artifact),
    }
