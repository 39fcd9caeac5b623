"""Builds waspi's wheel for one kind of board: ``python3 -m cross.wheel --target aarch64``."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
from pathlib import Path

from cross import cache, reproducible, rust
from cross.backend import leave_out_back_ends
from cross.command import need, run
from cross.failure import Failure, exit_with
from cross.target import TARGETS, Target, add_target_argument
from cross.toolbox import toolbox

JOBS = "2"
SOURCES = ("agent", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "CHANGELOG.md")
BUILT = ("agent/waspi/javascript.wasm.xz", "agent/waspi/javascript.json")
"""What the wheel has that no compiler of the board's makes."""
RECIPE = tuple(
    Path(__file__).with_name(name)
    for name in ("wheel.py", "rust.py", "backend.py", "target.py", "reproducible.py", "rustc-wrapper")
)


def environment(target: Target, compiler: Path, sources: Path) -> dict[str, str]:
    """What cargo has to know to compile ``sources`` for ``target`` with the Rust in ``compiler``."""
    gcc = f"{target.gcc}-gcc"
    upper = target.triple.upper().replace("-", "_")
    lower = target.triple.replace("-", "_")
    return {
        "PATH": f"{compiler / 'bin'}:{os.environ['PATH']}",
        "RUSTC": str(compiler / "bin" / "rustc"),
        # Cargo does not see what the wrapper adds, and would take objects that were made without it.
        "CARGO_TARGET_DIR": str(cache.root() / "target" / f"{compiler.name}-{reproducible.wrapper_name()}"),
        "CARGO_BUILD_JOBS": JOBS,
        "CARGO_INCREMENTAL": "0",  # of no use for dependencies, and the cache stays smaller
        **reproducible.environment(sources),
        **(
            {"CARGO_PROFILE_RELEASE_LTO": "fat", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "1"}
            if target.lto == "fat"
            else {}
        ),
        f"CARGO_TARGET_{upper}_LINKER": gcc,
        f"CC_{lower}": gcc,
        f"AR_{lower}": f"{target.gcc}-ar",
    }


def wheel(target: Target) -> Path:
    """The wheel's file, built from the checkout if need be."""
    need(f"{target.gcc}-gcc")
    compiler = rust.sysroot()
    folder = cache.root() / "stage"
    folder.mkdir(exist_ok=True)
    with (folder / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the stage is one, and a second run must not take it away
        return _staged_wheel(target, compiler, folder / target.name)


def _staged_wheel(target: Target, compiler: Path, stage: Path) -> Path:
    copy_sources(stage)
    name = f"{target.name}-{cache.key(compiler.name, cache.content([stage]), cache.content(RECIPE))}"
    folder = cache.built("wheels", name, lambda folder: build(target, compiler, stage, folder))
    return next(folder.glob("*.whl"))


def build(target: Target, compiler: Path, stage: Path, folder: Path, objects: Path | None = None) -> None:
    """Put the wheel of the sources in ``stage`` into ``folder``; ``objects`` is cargo's target folder."""
    if target.back_end:
        leave_out_back_ends(stage / "agent" / "native", target.back_end, compiler)
    options = ["--release", "--locked", "--target", target.triple, "--out", str(folder)]
    tags = ["--compatibility", target.wheel_platform, "--auditwheel", "check", "--compression-level", "9"]
    profile = [word for setting in target.profile for word in ("--config", setting)]
    env = environment(target, compiler, stage)
    if objects is not None:
        env["CARGO_TARGET_DIR"] = str(objects)
    print(f"[cargo ] {target.triple}; the first time takes many minutes", flush=True)
    run([toolbox() / "python", "-m", "maturin", "build", *options, *tags, *profile], env=env, cwd=stage)
    reproducible.finish(next(folder.glob("*.whl")))
    _audit(next(folder.glob("*.whl")))


def copy_sources(stage: Path) -> None:
    """Copy the sources, usually to the same path so that cargo recognises it; edits meanwhile do no harm."""
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    for name in SOURCES:
        path = cache.CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, stage / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "target"))
        elif path.exists():
            shutil.copy2(path, stage / name)
        else:
            raise Failure(f"{name} is not in the checkout")
    for name in BUILT:
        if not (stage / name).exists():
            raise Failure(f"{name} is not built; run: python guests/build.py")


def _audit(path: Path) -> None:
    """A second opinion on the tag, by the tool that PyPI's own builders use."""
    report = run([toolbox() / "python", "-m", "auditwheel", "show", path])
    print("\n".join(f"[audit ] {line}" for line in report.split("\n\n")[0].splitlines() if line.strip()), flush=True)


def main() -> int:
    """Print the wheel's path, the last line of the output."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_target_argument(parser)
    target = TARGETS[parser.parse_args().target]
    path = wheel(target)
    print(f"{path.stat().st_size / 1e6:.2f} MB", flush=True)
    print(path)
    return 0


if __name__ == "__main__":
    exit_with(main)
