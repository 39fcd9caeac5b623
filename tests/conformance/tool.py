"""The tool that makes modules for the tests: built by cargo once, and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from cross import cache

CRATE: Final = Path(__file__).with_name("modules")


def tool() -> Path:
    """The program; built in half a minute when its sources are new.

    Raises:
        subprocess.CalledProcessError: cargo has said why on standard error.
    """
    key = hashlib.sha256(subprocess.run(["rustc", "-vV"], check=True, capture_output=True).stdout)
    for path in (CRATE / "Cargo.toml", CRATE / "Cargo.lock", CRATE / "src" / "main.rs"):
        key.update(path.read_bytes())
    kept = cache.root() / "test-modules" / key.hexdigest()[:32] / "waspi-test-modules"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (cache.root() / "test-modules.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            target = cache.root() / "target-test-modules"
            environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
            subprocess.run(
                ["cargo", "build", "--release", "--locked", "--quiet"], check=True, cwd=CRATE, env=environment
            )
            part = kept.with_suffix(f".{os.getpid()}")
            shutil.copy2(target / "release" / "waspi-test-modules", part)
            part.replace(kept)
    return kept
