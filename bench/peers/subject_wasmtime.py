"""wasmtime-py: one engine, one store a fresh instance, memory through its own ``read`` and ``write``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from wasmtime import Engine, Func, Instance, Memory, Module, Store

HEADROOM = 30


def version() -> str:
    """Of the package."""
    return f"wasmtime-py {metadata.version('wasmtime')}"


def bind(store: Store, module: Module) -> Callable[[bytes], bytes]:
    """Instantiate and look the exports up once."""
    exports = Instance(store, module, []).exports(store)
    memory, alloc, append, dealloc = (exports[name] for name in ("memory", "alloc", "append", "dealloc"))
    assert isinstance(memory, Memory)  # noqa: S101 - tells the type checker
    assert isinstance(alloc, Func) and isinstance(append, Func) and isinstance(dealloc, Func)  # noqa: S101, PT018

    def call(data: bytes) -> bytes:
        size = len(data)
        pointer = alloc(store, size + HEADROOM)
        memory.write(store, data, pointer)
        end = pointer + append(store, pointer, size)
        output = bytes(memory.read(store, pointer, end))
        dealloc(store, pointer, size + HEADROOM)
        return output

    return call


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """Nothing is metered or bounded: the fastest that it has."""
    engine = Engine()
    module = Module(engine, wasm)
    artifact = bytes(module.serialize())
    warm = bind(Store(engine), module)
    return {
        "warm": lambda: warm(data),
        "fresh": lambda: bind(Store(engine), module)(data),
        "compile": lambda: Module(engine, wasm),
        "load": lambda: Module.deserialize(engine, artifact),
    }
