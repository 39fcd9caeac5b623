"""The seccomp filters of all architectures, run through an interpreter of BPF by ``cargo test``."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CRATE = Path(__file__).parent / "lockdown_filter"


@pytest.mark.skipif(shutil.which("cargo") is None, reason="runs where wheels are built: cargo is not on a board")
def test_filters_of_every_architecture(tmp_path: Path) -> None:
    environment = {"CARGO_TARGET_DIR": str(tmp_path), **os.environ}
    done = subprocess.run(
        ["cargo", "test", "--locked", "--quiet"],
        cwd=CRATE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
