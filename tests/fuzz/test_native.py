"""FAULT 27 and its like: mutated modules are compiled and run in a child; it refuses, traps or runs, and never dies.

``WASPI_FUZZ_S=n`` fuzzes for n seconds, ``WASPI_SEED=n`` with that seed; what once killed the child lies in
``corpus/native`` and is tried first. ``make fuzz`` does the same guided by coverage.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import waspi
from tests.fuzz.guests import CORPUS, ROOT, seeds
from tests.fuzz.mutation import mutated

SECONDS = float(os.environ.get("WASPI_FUZZ_S", "8.0"))
LONGEST_S = 20.0
"""Seconds that one module may take: compiling has 5 s, running 0.5 s, and other tests run beside this one."""


class NativeChild:
    """A process that compiles and runs what it is given."""

    def __init__(self) -> None:
        path = f"{Path(waspi.__file__).parents[1]}:{ROOT}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.native_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            cwd=ROOT,
        )

    def verdict(self, wasm: bytes) -> str:
        """Raises ``AssertionError`` when the child dies or does not answer in time."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        late = threading.Timer(LONGEST_S, process.kill)
        late.start()
        try:
            process.stdin.write(len(wasm).to_bytes(4) + wasm)
            process.stdin.flush()
            answer = process.stdout.read(1).decode()
        except BrokenPipeError:
            answer = ""
        finally:
            late.cancel()
        if not answer:
            process.wait()
            raise AssertionError(f"status {process.returncode}: {process.stderr.read().decode()[-2000:]}")
        return answer

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.wait(LONGEST_S)


def test_fault_27_mutated_modules_never_kill_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    child = NativeChild()
    tally: Counter[str] = Counter()
    try:
        for known in sorted(CORPUS.glob("*.wasm")):
            child.verdict(known.read_bytes())
        made = seeds()
        assert len(made) > 20
        seed = int(os.environ.get("WASPI_SEED", random.randrange(1 << 32)))  # noqa: S311 - a seed
        chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            wasm = mutated(made, chance)
            try:
                tally[child.verdict(wasm)] += 1
            except AssertionError as error:
                kept = tmp_path / f"{hashlib.sha256(wasm).hexdigest()[:16]}.wasm"
                kept.write_bytes(wasm)
                raise AssertionError(f"seed {seed}, after {tally.total()} modules; kept as {kept}") from error
    finally:
        child.close()
    with capsys.disabled():
        print(f"\nfuzz: {tally['r']} ran, {tally['t']} stopped, {tally['n']} refused; seed {seed}")  # noqa: T201 - the report
    assert tally["r"] + tally["t"] > 10, "hardly any mutant compiles: the seeds are wrong"
