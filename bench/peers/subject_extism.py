"""extism: wasmtime behind a plugin ABI of its own, so its guest is ``append_extism.wat``, not the reference one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from extism.extism import CompiledPlugin, Plugin


def version() -> str:
    """Of the package."""
    return f"extism {metadata.version('extism')}"


def operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]:
    """Compiled once, a plugin per fresh call. No ``compile``: the guest is another one, and a cache on disk answers."""
    compiled = CompiledPlugin(wasm)
    warm = Plugin(compiled)
    return {
        "warm": lambda: bytes(warm.call("append", data)),
        "fresh": lambda: bytes(Plugin(compiled).call("append", data)),
    }
