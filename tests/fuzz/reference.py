"""What wasmtime makes of a module: the answer that waspi's engines have to give, too."""

from __future__ import annotations

from typing import Final

import wasmtime
from wasmtime import TrapCode

from tests.fuzz.observed import MEMORY_NAME

_TRAPS: Final = {
    TrapCode.STACK_OVERFLOW: "StackOverflowTrap",
    TrapCode.MEMORY_OUT_OF_BOUNDS: "MemoryOutOfBoundsTrap",
    TrapCode.TABLE_OUT_OF_BOUNDS: "TableOutOfBoundsTrap",
    TrapCode.INDIRECT_CALL_TO_NULL: "IndirectCallTrap",
    TrapCode.BAD_SIGNATURE: "IndirectCallTrap",
    TrapCode.INTEGER_OVERFLOW: "IntegerOverflowTrap",
    TrapCode.INTEGER_DIVISION_BY_ZERO: "DivisionByZeroTrap",
    TrapCode.BAD_CONVERSION_TO_INTEGER: "IntegerOverflowTrap",
    TrapCode.UNREACHABLE: "UnreachableTrap",
}


class Reference:
    """wasmtime with the features of waspi."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.wasm_threads = False
        config.wasm_relaxed_simd = False
        config.parallel_compilation = False
        self._engine = wasmtime.Engine(config)

    def outcomes(self, wasm: bytes, entries: list[str]) -> dict[str, bytes | str]:
        """Of each entry on a fresh instance: the bytes that it gives, or the class of waspi's error for its trap."""
        module = wasmtime.Module(self._engine, wasm)
        return {entry: self._outcome(module, entry) for entry in entries}

    def _outcome(self, module: wasmtime.Module, entry: str) -> bytes | str:
        store = wasmtime.Store(self._engine)
        try:
            exports = wasmtime.Instance(store, module, []).exports(store)
            function, memory = exports[entry], exports[MEMORY_NAME]
            assert isinstance(function, wasmtime.Func)
            assert isinstance(memory, wasmtime.Memory)
            packed = function(store, 0, 0) & ((1 << 64) - 1)
        except wasmtime.Trap as trap:
            return _TRAPS[TrapCode(trap.trap_code)]
        start, size = packed >> 32, packed & 0xFFFFFFFF
        return bytes(memory.read(store, start, start + size))
