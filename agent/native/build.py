#!/usr/bin/env python3
"""Put the native module into agent/waspi/: from the cache when its sources were built before, else by cargo.

The key is the hash of all that the binary depends on: Rust sources, manifest, lock file, compiler, target. The cache is
${WASPI_CACHE:-${XDG_CACHE_HOME:-~/.cache}/waspi}, outside the checkout, so that a fresh clone takes a second.

``--engine wasmi`` builds the interpreter of 32-bit boards for this machine, into build/wasmi/waspi: a second package
``waspi`` of the same Python files. With ``PYTHONPATH=build/wasmi`` every program and test runs on it.
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
PACKAGE = CRATE.parent / "waspi"
OTHER = CRATE.parents[1] / "build" / "wasmi" / "waspi"
MODULE = "_wasmer.abi3.so"
FEATURES = {"default": "", "wasmi": "wasmi"}


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
        command += ["--features", features]
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


def mirror(package: Path) -> None:
    """Make ``package`` show the Python files of the real one: links, so that an edit needs no build."""
    package.mkdir(parents=True, exist_ok=True)
    there = {path.name: path for path in PACKAGE.iterdir() if path.name not in {MODULE, "__pycache__"}}
    for path in package.iterdir():
        if path.is_symlink() and path.name not in there:
            path.unlink()
    for name, path in there.items():
        link = package / name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(path, package))


def main() -> int:
    """Build or fetch; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--engine", choices=FEATURES, default="default", help="Wasmer where there is a choice; wasmi: see above"
    )
    engine = parser.parse_args().engine
    features = FEATURES[engine]
    package = OTHER if features else PACKAGE
    kept = cache_folder() / "native" / key(features) / MODULE
    if not kept.exists():
        print(
            f"==> building the native module{f' on {features}' if features else ''} "
            "(minutes the first time: wasmer and cranelift are large)",
            flush=True,
        )
        try:
            build(kept, features)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"build: the native module does not build: {error}", file=sys.stderr)
            return 1
    if features:
        mirror(package)
    output = package / MODULE
    if not output.exists() or output.read_bytes() != kept.read_bytes():
        output.unlink(missing_ok=True)  # never write into a library that a process has mapped
        shutil.copy2(kept, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
