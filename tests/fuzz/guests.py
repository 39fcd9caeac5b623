"""Modules to begin with when compiling and running are fuzzed."""

from __future__ import annotations

from pathlib import Path

from waspi._wasmer import wat2wasm

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus" / "native"
_SMALL = 4096


def seeds() -> list[bytes]:
    """Small guests, the hostile ones included."""
    texts = sorted((ROOT / "guests" / "hostile").glob("*.wat"))
    compiled = [wat2wasm(text.read_bytes()) for text in texts if b";; not text" not in text.read_bytes()]
    return [wasm for wasm in compiled if len(wasm) <= _SMALL]
