"""The stub, where the native module's documentation lives, says what the module has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stubtest_is_clean() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "waspi._wasmer", "--mypy-config-file", "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
