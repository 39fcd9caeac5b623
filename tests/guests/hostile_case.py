"""Runs one hostile guest and says how it ended; a program too, so that a bomb can be given a process of its own."""

from __future__ import annotations

import json
import sys
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from waspi import _wasmer
from waspi.errors import WaspiError

EXPECTED = Path(__file__).resolve().parents[2] / "guests" / "hostile" / "expected.toml"
CASES: dict[str, dict[str, Any]] = tomllib.loads(EXPECTED.read_text())
INPUT = b"The input string"
LIMITS = {"memory_bytes": 16 << 20, "time_ms": 5_000, "output_bytes": 1 << 20, "log_bytes": 4_096}
"""Of a run whose case states none; a stated ``fuel`` without ``time_ms`` means no deadline."""

BOUNDS = _wasmer.Bounds(compile_ms=10_000)
"""The defaults, but for the time, which tests have less of."""


@dataclass
class Verdict:
    """How a case ended."""

    kind: str
    at: str
    fault: str = ""
    message: str = ""
    code: int | None = None
    log: bytes = b""
    output: bytes = b""
    memory_bytes: int = 0
    seconds: float = 0.0
    resident_kib: int = field(default=0)
    """High-water mark of this process; of use only in a process of its own."""


def limits_of(case: dict[str, Any]) -> dict[str, int]:
    """The limits that a case states on top of the default ones."""
    stated: dict[str, int] = case.get("limits", {})
    base = {key: value for key, value in LIMITS.items() if key != "time_ms" or "fuel" not in stated}
    return base | stated


def run_case(name: str, folder: Path) -> Verdict:
    """Compile and run; whatever is no error of waspi's comes through."""
    begun = time.monotonic()
    at = "compile"
    try:
        module = _wasmer.Module.compile((folder / "hostile" / f"{name}.wasm").read_bytes(), bounds=BOUNDS)
        at = "run"
        outcome = module.run(INPUT, **limits_of(CASES[name]))  # type: ignore[arg-type] # all of them are integers
    except WaspiError as error:
        verdict = Verdict(error.kind, at, error.fault.value, str(error), getattr(error, "code", None), error.log)
        verdict.memory_bytes = error.memory_bytes
    else:
        verdict = Verdict("none", at, log=outcome.log, output=outcome.output, memory_bytes=outcome.memory_bytes)
    verdict.seconds = time.monotonic() - begun
    verdict.resident_kib = _peak_kib()
    return verdict


def _peak_kib() -> int:
    # Not getrusage's: that figure is inherited over fork and exec from the test runner, which is large by then.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    found = asdict(run_case(sys.argv[1], Path(sys.argv[2])))
    sys.stdout.write(json.dumps(found | {"log": found["log"].hex(), "output": found["output"].hex()}))
