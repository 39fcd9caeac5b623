"""Runs a module with entries (`tests.fuzz.observed`) on this engine, and compares with what is wanted.

``python -m tests.fuzz.replay`` does so for all of ``corpus/engine``: in a process of its own, which one may kill.
"""

from __future__ import annotations

import json
import sys
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final

from tests.fuzz.observed import ALLOC, MEMORY_NAME
from waspi import _wasmer, errors

CORPUS: Final = Path(__file__).parent / "corpus" / "engine"
Outcome = bytes | str
"""What an entry gives, or the class of the error that it ends with."""

_LIMITS: Final = {"memory_bytes": 64 << 20, "time_ms": 60_000}
_STAIN: Final = _wasmer.wat2wasm(b"""(module (memory (export "memory") 4)
  (table 64 64 funcref) (elem declare func $deep)
  (global $a (mut i64) (i64.const 0)) (global $b (mut f64) (f64.const 0))
  (func $deep (param i32) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (i64.const 0x5a5a5a5a5a5a5a5a)) (local.set 2 (local.get 1)) (local.set 3 (local.get 1))
    (local.set 4 (local.get 1)) (local.set 5 (local.get 1)) (local.set 6 (local.get 1)) (local.set 7 (local.get 1))
    (local.set 8 (local.get 1)) (local.set 9 (local.get 1)) (local.set 10 (local.get 1)) (local.set 11 (local.get 1))
    (if (local.get 0) (then (local.set 12 (call $deep (i32.sub (local.get 0) (i32.const 1))))))
    (i64.xor (i64.add (local.get 1) (local.get 12)) (i64.add (local.get 11) (i64.add (local.get 5) (local.get 8)))))
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "append") (param i32 i32) (result i32)
    (global.set $a (call $deep (i32.const 200))) (global.set $b (f64.const 1.5))
    (table.fill 0 (i32.const 0) (ref.func $deep) (i32.const 64))
    (memory.fill (i32.const 0) (i32.const 0x5a) (i32.const 0x40000))
    (i32.const 0)))""")
"""Leaves something everywhere that a later run must not see."""


class Subject:
    """A module on this engine."""

    def __init__(self, wasm: bytes) -> None:
        self.refused = ""
        self.refusal_is_wrong = False
        self._stain = _wasmer.Module.compile(_STAIN)
        try:
            self._modules = {"compiled": _wasmer.Module.compile(wasm)}
            self._modules["loaded"] = _wasmer.Module.load(self._modules["compiled"].serialize())
        except errors.WaspiError as error:
            self.refused = f"{type(error).__name__}: {error}"
            self.refusal_is_wrong = not isinstance(error, errors.ModuleTooLargeError)

    def run(self, form: str, entry: str, fuel: int | None = None) -> tuple[Outcome, int]:
        """What the entry gives, and the fuel that it used."""
        self._stain.run(b"")
        limits: dict[str, Any] = {**_LIMITS, "fuel": fuel}
        try:
            outcome = self._modules[form].run(b"", memory=MEMORY_NAME, alloc=ALLOC, entry=entry, headroom=0, **limits)
        except errors.WaspiError as error:
            return type(error).__name__, error.fuel
        return outcome.output, outcome.fuel


def differences(subject: Subject, wanted: dict[str, Outcome]) -> list[str]:
    """One line for each entry that gives something else."""
    found = []
    for entry, outcome in wanted.items():
        got, fuel = subject.run("compiled", entry)
        if errors.StackOverflowTrap.__name__ in (got, outcome):
            continue  # how deep a stack is, is the engine's to choose
        tries = {"compiled": got, "loaded": subject.run("loaded", entry)[0]}
        if isinstance(outcome, bytes):
            tries["with just enough fuel"] = subject.run("compiled", entry, fuel)[0]
            short = subject.run("loaded", entry, fuel - 1)[0]
            if short != errors.FuelLimitError.__name__:
                found.append(f"{entry}: with one unit of fuel less than {fuel} it gives {_shown(short)}")
        found += [
            f"{entry}, {how}: {_shown(one)} instead of {_shown(outcome)}"
            for how, one in tries.items()
            if one != outcome
        ]
    return found


def _shown(outcome: Outcome) -> str:
    return outcome if isinstance(outcome, str) else f"{len(outcome)} bytes with CRC {zlib.crc32(outcome):08x}"


def encoded(wanted: dict[str, Outcome]) -> dict[str, list[str]]:
    """As JSON: an error's class, or the compressed bytes."""
    return {
        entry: ["error", outcome] if isinstance(outcome, str) else ["bytes", b64encode(zlib.compress(outcome)).decode()]
        for entry, outcome in wanted.items()
    }


def decoded(path: Path) -> dict[str, Outcome]:
    """What :func:`encoded` gave."""
    return {
        entry: text if kind == "error" else zlib.decompress(b64decode(text))
        for entry, (kind, text) in json.loads(path.read_text()).items()
    }


def main() -> int:
    """Print a line for each module, and what differs; 1 when something does."""
    status = 0
    for path in sorted(CORPUS.glob("*.wasm")):
        print(path.name, end=": ", flush=True)
        subject = Subject(path.read_bytes())
        if "SIMD" in subject.refused and not _wasmer.ENGINE.startswith("wasmer"):
            print("needs SIMD")
            continue
        found = [subject.refused] if subject.refused else differences(subject, decoded(path.with_suffix(".json")))
        print("; ".join(found) or "as on wasmtime", flush=True)
        status |= bool(found)
    return status


if __name__ == "__main__":
    sys.exit(main())
