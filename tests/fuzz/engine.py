"""``make fuzz-engine``: modules made at random give on this engine what they give on wasmtime.

wasm-smith makes each module from random bytes. What is compared: results, globals, memory, the class of a trap; as
compiled and from an artifact; with as much fuel as the run needs, and with one unit less, which has to end it. Before
each run another guest fills its stack, memory, globals and table: what a run should not see is there to be seen.

First come the modules of fixed seeds, then of new ones, until the time is up. A finding is shrunk and kept in
``corpus/engine`` with what wasmtime gives, where the test suite tries it from then on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.conformance.binary import Unsuitable
from tests.conformance.tool import tool
from tests.fuzz.observed import entries_of, observed
from tests.fuzz.reference import Reference
from tests.fuzz.replay import CORPUS, Outcome, Subject, differences, encoded
from waspi import _wasmer

FIXED_SEEDS: Final = 40
"""Seeds 0 to 39 are tried in every run."""
_BYTES: Final = (64, 4_000)
_SHRINKING_S: Final = 60.0
_CURRENT: Final = "WASPI_FUZZ_CURRENT"
"""Where the child writes what it tries, so that a module that kills it is known."""
_SIMD, _NO_TRAPS = 1, 2


class Smith:
    """The tool that makes modules from bytes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([tool(), "smith"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def module(self, data: bytes) -> bytes:
        """The module that these bytes give; empty when they give none."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(len(data).to_bytes(4, "little") + data)
        process.stdin.flush()
        return process.stdout.read(int.from_bytes(process.stdout.read(4), "little"))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def data(seed: int) -> bytes:
    """The bytes of a seed; without SIMD where the engine has none."""
    chance = random.Random(seed)  # noqa: S311 - so that a finding can be made again
    made = bytearray(chance.randbytes(chance.randint(*_BYTES)))
    if not _wasmer.ENGINE.startswith("wasmer"):
        made[0] &= ~_SIMD
    return bytes(made)


class Fuzzer:
    """One process's work."""

    def __init__(self) -> None:
        self.smith = Smith()
        self.reference = Reference()
        self.tally: Counter[str] = Counter()

    def try_bytes(self, raw: bytes) -> list[str]:
        """What is other than on wasmtime, one line each."""
        wasm = self.smith.module(raw)
        if not wasm:
            self.tally["none"] += 1
            return []
        return self.try_module(wasm)

    def try_module(self, wasm: bytes) -> list[str]:
        """As :meth:`try_bytes`."""
        try:
            adapted, entries = observed(wasm)
        except Unsuitable:
            self.tally["unsuitable"] += 1
            return []
        if current := os.environ.get(_CURRENT):
            Path(current).write_bytes(adapted)
        wanted = self.reference.outcomes(adapted, entries)
        subject = Subject(adapted)
        if subject.refused:
            self.tally["refused"] += 1
            return [subject.refused] if subject.refusal_is_wrong else []
        self.tally["modules"] += 1
        self.tally["trapped"] += sum(isinstance(outcome, str) for outcome in wanted.values())
        self.tally["returned"] += sum(isinstance(outcome, bytes) for outcome in wanted.values())
        return differences(subject, wanted)

    def shrunk(self, raw: bytes) -> bytes:
        """Fewer bytes that still give a difference."""
        end = time.monotonic() + _SHRINKING_S
        step = len(raw) // 2
        while step > 0 and time.monotonic() < end:
            at = 1
            while at < len(raw) and time.monotonic() < end:
                shorter = raw[:at] + raw[at + step :]
                if self.try_bytes(shorter):
                    raw = shorter
                else:
                    at += step
            step //= 2
        return raw

    def keep(self, raw: bytes) -> Path:
        """Put the finding where the test suite tries it."""
        adapted, entries = observed(self.smith.module(raw))
        return keep(adapted, self.reference.outcomes(adapted, entries))


def keep(adapted: bytes, wanted: dict[str, Outcome]) -> Path:
    """Write a module and what wasmtime makes of it; the module's path."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    path = CORPUS / f"{sha256(adapted).hexdigest()[:16]}.wasm"
    path.write_bytes(adapted)
    path.with_suffix(".json").write_text(json.dumps(encoded(wanted), indent=1) + "\n")
    return path


def fuzz(seconds: float, seed: int) -> int:
    """The child's work: 1 for a finding."""
    fuzzer = Fuzzer()
    begun = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 - printed
    number = 0
    while number < FIXED_SEEDS or time.monotonic() - begun < seconds:
        chosen = number if number < FIXED_SEEDS else chance.getrandbits(48)
        number += 1
        raw = data(chosen)
        if found := fuzzer.try_bytes(raw):
            print(f"fuzz-engine: {_wasmer.ENGINE}: seed {chosen} DIFFERS: {found[0]}", flush=True)
            path = fuzzer.keep(fuzzer.shrunk(raw))
            print(f"fuzz-engine: kept {path.name}, {path.stat().st_size} bytes", flush=True)
            return 1
    fuzzer.smith.close()
    tally = fuzzer.tally
    print(
        f"fuzz-engine: {_wasmer.ENGINE}: {tally['modules']} modules, {tally['returned']} returns and "
        f"{tally['trapped']} traps as on wasmtime; {tally['refused']} refused; "
        f"run seed {seed}, {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    if tally["returned"] < tally["modules"] or tally["modules"] < FIXED_SEEDS // 2:
        print("fuzz-engine: hardly a module runs: the generator's settings are wrong")
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz in a child, which a fault of the engine may kill; the exit status is 1 for a finding."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.engine", description="Differential fuzzing of the engine."
    )
    parser.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of the new modules")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        return fuzz(chosen.seconds, chosen.seed)
    with tempfile.TemporaryDirectory(prefix="waspi-fuzz-") as folder:
        current = Path(folder) / "current.wasm"
        words = ["--child", "--seconds", str(chosen.seconds), "--seed", str(chosen.seed)]
        command = [sys.executable, "-m", "tests.fuzz.engine", *words]
        status = subprocess.run(command, check=False, env={**os.environ, _CURRENT: str(current)}).returncode
        if status not in (0, 1):
            adapted = current.read_bytes()
            path = keep(adapted, Reference().outcomes(adapted, entries_of(adapted)))
            print(f"fuzz-engine: the engine died with status {status}; kept {path.name}")
    return 0 if status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
