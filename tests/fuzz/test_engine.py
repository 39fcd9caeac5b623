"""What fuzzing against wasmtime has found (``make fuzz-engine``) stays mended.

Each module of ``corpus/engine`` once gave something else than on wasmtime, whose answers lie beside it; the first is
of wasmi 2.0.0.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.replay import CORPUS, Subject, differences
from waspi._wasmer import wat2wasm


def test_kept_modules_give_what_they_give_on_wasmtime() -> None:
    kept = list(CORPUS.glob("*.wasm"))
    assert kept
    command = [sys.executable, "-m", "tests.fuzz.replay"]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == len(kept)


def test_the_comparison_sees_a_difference() -> None:
    subject = Subject(
        wat2wasm(b"""(module (memory (export "waspi_memory") 1) (data (i32.const 0) "abcd")
      (func (export "waspi_alloc") (param i32) (result i32) (i32.const 0))
      (func (export "result 0") (param i32 i32) (result i64) (i64.const 4))
      (func (export "memory 0") (param i32 i32) (result i64) unreachable))""")
    )
    wanted: dict[str, bytes | str] = {"result 0": b"abcd", "memory 0": "UnreachableTrap"}
    assert differences(subject, wanted) == []
    assert len(differences(subject, {**wanted, "result 0": b"abce"})) == 3
    assert len(differences(subject, {**wanted, "memory 0": "DivisionByZeroTrap"})) == 2
