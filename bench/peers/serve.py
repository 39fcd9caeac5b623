"""Times one subject's operations on request. Runs in the subject's own environment: Python 3.10 and nothing installed.

``python serve.py SUBJECT WASM``, where SUBJECT is a module beside this file with

- ``version() -> str``
- ``operations(wasm: bytes, data: bytes) -> dict[str, Callable[[], object]]``, of which ``warm`` and ``fresh`` return
  the guest's output as bytes.

Says ``{"version": ..., "operations": [...]}``, then answers each line ``{"do": ..., "count": n}`` with ``{"ns": ...}``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


def time_calls(call: Callable[[], object], count: int) -> int:
    """Nanoseconds of so many calls, the loop included."""
    begin = perf_counter_ns()
    for _ in range(count):
        call()
    return perf_counter_ns() - begin


def main() -> None:
    """Serve until the input ends."""
    subject = importlib.import_module(sys.argv[1])
    operations = subject.operations(Path(sys.argv[2]).read_bytes(), INPUT)
    for name in ("warm", "fresh"):
        got = operations[name]()
        if got != OUTPUT:
            raise SystemExit(f"{sys.argv[1]}: a {name} call gave {got!r}")
    print(json.dumps({"version": subject.version(), "operations": sorted(operations)}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps({"ns": time_calls(operations[ask["do"]], ask["count"])}), flush=True)


if __name__ == "__main__":
    main()
