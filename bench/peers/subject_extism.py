"""extism: wasmtime behind a plugin ABI of its own, so the guest is ``append_extism.wat`` instead of the reference one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from extism.extism import CompiledPlugin, Plugin


def version() -> str:
    """Of the package."""
    return f"extism {metadata.version('extism')}"


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """Compiled once, a plugin per fresh call. It offers no artifact to keep."""
    compiled = CompiledPlugin(wasm)
    warm = Plugin(compiled)
    return {
        "warm": lambda: bytes(warm.call("append", data)),
        "fresh": lambda: bytes(Plugin(compiled).call("append", data)),
        "compile": lambda: CompiledPlugin(wasm),
    }
