"""Builds every guest from source, once for the session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "guests" / "build.py"


@pytest.fixture(scope="session")
def guests() -> Path:
    """Folder of the modules; warm, this takes a fraction of a second."""
    done = subprocess.run(
        [sys.executable, str(BUILD), "--quiet"], capture_output=True, text=True, check=False, timeout=540
    )
    assert done.returncode == 0, f"guests/build.py failed; see `python guests/build.py --help`\n{done.stderr}"
    return ROOT / "build" / "guests"
