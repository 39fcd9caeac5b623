#!/usr/bin/env python3
"""Put the native module into agent/waspi/: from the cache when its sources were built before, else by cargo.

The key is the hash of all that the binary depends on: Rust sources, manifest, lock file, compiler, target. The cache is
${WASPI_CACHE:-${XDG_CACHE_HOME:-~/.cache}/waspi}, outside the checkout, so that a fresh clone takes a second.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CRATE = Path(__file__).resolve().parent
TARGET = CRATE.parent / "waspi" / "_wasmer.abi3.so"


def cache_folder() -> Path:
    """Where builds are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("WASPI_CACHE") or f"{base}/waspi").expanduser()


def key(features: str) -> str:
    """Hash of everything that goes into the binary."""
    digest = hashlib.sha256(features.encode())
    digest.update(subprocess.run(["rustc", "-vV"], check=True, capture_output=True).stdout)
    files = [CRATE / "Cargo.toml", CRATE / "Cargo.lock", CRATE / "build.rs", *sorted((CRATE / "src").rglob("*.rs"))]
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(CRATE)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def build(kept: Path, features: str) -> None:
    """Let cargo build, and keep the result."""
    environment = dict(os.environ)
    environment.setdefault("CARGO_TARGET_DIR", str(cache_folder() / "target"))
    environment["PYO3_PYTHON"] = sys.executable
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(CRATE / "Cargo.toml")]
    if features:
        command += ["--no-default-features", "--features", features]
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Every checkout builds into the same folder: without the lock one could keep what another one built.
    with (cache_folder() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, check=True, env=environment)
        if key(features) != kept.parent.name:
            raise OSError("its sources were changed meanwhile; build again")
        part = kept.with_suffix(f".{os.getpid()}")
        shutil.copy2(Path(environment["CARGO_TARGET_DIR"]) / "release" / "lib_wasmer.so", part)
        part.replace(kept)


def main() -> int:
    """Build or fetch; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default="", help="cargo features instead of the default ones")
    parser.add_argument("--output", type=Path, default=TARGET, help="where to put the module")
    arguments = parser.parse_args()
    kept = cache_folder() / "native" / key(arguments.features) / "_wasmer.abi3.so"
    if not kept.exists():
        print("==> building the native module (minutes the first time: wasmer and cranelift are large)", flush=True)
        try:
            build(kept, arguments.features)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"build: the native module does not build: {error}", file=sys.stderr)
            return 1
    if not arguments.output.exists() or arguments.output.read_bytes() != kept.read_bytes():
        arguments.output.unlink(missing_ok=True)  # never write into a library that a process has mapped
        shutil.copy2(kept, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
