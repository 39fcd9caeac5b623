"""waspi itself, with the limits that a device sets: fuel, memory, time, output and log are all bounded."""

from __future__ import annotations

from collections.abc import Callable

import waspi
from waspi import _wasmer


def version() -> str:
    """Ours and the engine's."""
    return f"waspi {waspi.__version__} ({_wasmer.ENGINE})"


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """Warm: one instance. Fresh: an instance a call, as every job on a device gets."""
    module = waspi.Module.compile(wasm)
    artifact = module.serialize()
    instance = module.instantiate()
    return {
        "warm": lambda: instance.run(data).output,
        "fresh": lambda: module.run(data).output,
        "compile": lambda: waspi.Module.compile(wasm),
        "load": lambda: waspi.Module.load(artifact),
    }
