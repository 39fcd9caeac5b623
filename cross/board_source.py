"""The tests and what they need from the checkout, laid out on a board's file system.

A board has no compilers: guests are taken as this machine built them, C sources of the tests are compiled here. What
stands in their place on the board says so and does nothing else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cross import cache
from cross.command import run
from cross.failure import Failure
from cross.target import Target

SOURCES = (
    "tests",
    "guests",
    "build/guests",
    "build/conformance",
    "pyproject.toml",
    "README.md",
    "docs",
    "CONTRIBUTING.md",
    ".ci",
    "systemd",
    "bench",
    "cross",
    "agent/native",
)
GUEST_BUILDER = "raise SystemExit(0)  # the guests were built before, on the machine that runs the emulator\n"
COMPILER = """#!/bin/sh
# Stands for a C compiler: gives out what was compiled before, on the machine that runs the emulator.
output='' source=''
while [ $# -gt 0 ]; do
    case $1 in
        -o) output=$2; shift ;;
        *.c) source=$1 ;;
    esac
    shift
done
exec cp "/usr/local/lib/compiled/$(basename "$source").so" "$output"
"""


def lay_out(root: Path, target: Target) -> None:
    """Fill ``root/src``; waspi itself is the installed package, under the name where the tests look for the source."""
    source = root / "src"
    if not (cache.CHECKOUT / "build" / "guests").is_dir():
        raise Failure("the guests are not built: run 'make setup'")
    for name in SOURCES:
        path = cache.CHECKOUT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "target")
            shutil.copytree(path, source / name, symlinks=True, ignore=ignored)
        elif path.exists():
            shutil.copy2(path, source / name)
    installed = next((root / "opt/waspi/lib").glob("python3.*")) / "site-packages" / "waspi"
    (source / "agent" / "waspi").symlink_to(Path("/") / installed.relative_to(root))
    (source / "guests" / "build.py").write_text(GUEST_BUILDER)
    compiled = root / "usr/local/lib/compiled"
    compiled.mkdir(parents=True)
    (root / "usr/local/bin").mkdir(exist_ok=True)
    for file in (cache.CHECKOUT / "tests").rglob("*.c"):
        options = ["-O1", "-shared", "-fPIC", "-lpthread"]
        run([f"{target.gcc}-gcc", *options, file, "-o", compiled / f"{file.name}.so"])
    compiler = root / "usr/local/bin/cc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
