"""Leaves the compiler's back ends for other processors out of a board's wheel.

``wasmer-compiler-cranelift`` asks for Cranelift's x86, arm64 and riscv64 in one breath, without a feature to say
otherwise; a board compiles for itself alone. So the staged crate is built with a copy of it that asks for one.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from cross.command import run
from cross.failure import Failure

CRATE = "wasmer-compiler-cranelift"
ASKED = 'features = [\n    "x86",\n    "arm64",\n    "riscv64",\n]'


def leave_out_back_ends(native: Path, kept: str, compiler: Path) -> None:
    """Change manifest and lock file of the staged crate in ``native``; Failure when upstream is not as it was."""
    lock = native / "Cargo.lock"
    entry = re.search(rf'name = "{CRATE}"\nversion = "(.+)"\n(source = .+\nchecksum = .+\n)', lock.read_text())
    if entry is None:
        raise Failure(f"Cargo.lock has no {CRATE} of a registry")
    run([compiler / "bin" / "cargo", "fetch", "--locked", "--quiet"], cwd=native)
    registry = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "registry" / "src"
    source = next(registry.glob(f"*/{CRATE}-{entry[1]}"), None)
    if source is None:
        raise Failure(f"cargo fetched no {CRATE} {entry[1]} into {registry}")
    copy = native / CRATE
    shutil.copytree(source, copy)
    manifest = (copy / "Cargo.toml").read_text()
    if manifest.count(ASKED) != 1:
        raise Failure(f"{CRATE} {entry[1]} asks for other back ends than {ASKED!r}")
    (copy / "Cargo.toml").write_text(manifest.replace(ASKED, f'features = ["{kept}"]'))
    lock.write_text(lock.read_text().replace(entry[2], ""))
    with (native / "Cargo.toml").open("a") as own:
        own.write(f'\n[patch.crates-io]\n{CRATE} = {{ path = "{CRATE}" }}\n')
