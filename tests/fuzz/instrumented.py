"""The extension module with libFuzzer's counters in our crate; the engine below it is the usual build's."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cross import cache

CRATE = Path(__file__).parents[2] / "agent" / "native"
FLAGS = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
)
"""SanitizerCoverage as libFuzzer reads it (clang's documentation, "SanitizerCoverage"); stable flags, no sanitizer."""


def build(into: Path) -> Path:
    """Build it; seconds when the usual module was built before.

    Raises:
        subprocess.CalledProcessError: cargo has said why on standard error.
    """
    target = cache.root() / "target"
    command = ["cargo", "rustc", "--release", "--locked", "--quiet", "--lib", "--", *FLAGS]
    # The lock of agent/native/build.py, which builds in the same folder.
    with (cache.root() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "PYO3_PYTHON": sys.executable}
        subprocess.run(command, check=True, cwd=CRATE, env=environment)
        return Path(shutil.copy2(target / "release" / "lib_wasmer.so", into / "_wasmer.so"))
