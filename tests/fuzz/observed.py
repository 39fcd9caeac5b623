"""A module that was made at random, with entries that show what its functions do.

For every function there are two: ``result N`` calls it and gives its results and then all globals, ``memory N`` calls
it and gives the whole memory. ``memory all`` calls all of them in turn. Arguments are the same for the same module.
"""

from __future__ import annotations

import random
from typing import Final

from tests.conformance.binary import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    FUNCTION,
    I32,
    I64,
    MEMORY,
    V128,
    Module,
    constant,
    unsigned,
)  # fmt: skip

MEMORY_NAME: Final = "waspi_memory"
ALLOC: Final = "waspi_alloc"
_STORE: Final = {
    I32: b"\x36\x02", I64: b"\x37\x03", F32: b"\x38\x02", F64: b"\x39\x03", V128: b"\xfd\x0b\x04",
    FUNCREF: b"\xd1\x36\x02", EXTERNREF: b"\xd1\x36\x02",
}  # fmt: skip
"""Of a reference, whether it is null."""
_SLOT: Final = 16
_ENTRY: Final = ((I32, I32), (I64,))
_NUMBERS: Final = (0, 1, 2, 7, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def observed(wasm: bytes) -> tuple[bytes, list[str]]:
    """The module with its entries, and their names. Raises ``Unsuitable``."""
    module = Module.read(wasm)
    chance = random.Random(wasm)  # noqa: S311 - the same arguments for the same module
    own = range(len(module.functions))
    calls = [_call(module, index, chance) for index in own]
    slots = list(module.globals)
    entries = {}
    for index, call in zip(own, calls, strict=True):
        results = module.signature(index)[1]
        report = b"".join(b"\x21" + unsigned(2 + local) for local in reversed(range(len(results))))
        for at, kind in enumerate(results):
            report += _store(at, b"\x20" + unsigned(2 + at), kind)
        for at, kind in enumerate(slots):
            report += _store(len(results) + at, b"\x23" + unsigned(at), kind)
        size = constant(I64, _SLOT * (len(results) + len(slots)))
        entries[f"result {index}"] = module.add_function(_ENTRY, results, call + report + size)
        drop = b"\x1a" * len(results)
        entries[f"memory {index}"] = module.add_function(_ENTRY, (), call + drop + _whole())
    everything = b"".join(
        call + b"\x1a" * len(module.signature(index)[1]) for index, call in zip(own, calls, strict=True)
    )
    entries["memory all"] = module.add_function(_ENTRY, (), everything + _whole())
    for name, index in entries.items():
        module.add_export(name, FUNCTION, index)
    module.add_export(ALLOC, FUNCTION, module.add_function(((I32,), (I32,)), (), constant(I32, 0)))
    module.add_export(MEMORY_NAME, MEMORY, 0)
    return module.encode(), list(entries)


def entries_of(adapted: bytes) -> list[str]:
    """The names of the entries that :func:`observed` gave a module."""
    return [name for name in Module.read(adapted).exports if name.startswith(("result ", "memory "))]


def _call(module: Module, index: int, chance: random.Random) -> bytes:
    code = b""
    for kind in module.signature(index)[0]:
        if kind in (F32, F64):  # small whole numbers: no NaN, whose bits an engine may choose
            bits = {F32: 0x3F800000, F64: 0x3FF0000000000000}[kind] if chance.random() < 0.5 else 0
        else:
            bits = chance.choice(_NUMBERS) if chance.random() < 0.7 else chance.getrandbits(128 if kind == V128 else 32)
        code += constant(kind, bits)
    return code + b"\x10" + unsigned(index)


def _store(slot: int, get: bytes, kind: int) -> bytes:
    return constant(I32, 0) + get + _STORE[kind] + unsigned(slot * _SLOT)


def _whole() -> bytes:
    """Packed result: pointer 0, and the size of the memory."""
    return b"\x3f\x00\xad" + constant(I64, 16) + b"\x86"
