"""Wheels of native dependencies that PyPI does not have for a kind of board.

PyPI has no cbor2 (Rust) from 6 on and no cffi (C) for armv7. Only their one native file is missing: it is compiled here
and takes the place of aarch64's in the wheel of the same version, whose other files are the same for all.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cross import archive, cache, lock, reproducible, rust
from cross.archive import Archive
from cross.command import run
from cross.failure import Failure
from cross.target import TARGETS, Target
from cross.toolbox import toolbox
from cross.wheel import environment

SIBLING = TARGETS["aarch64"]


@dataclass(frozen=True)
class Missing:
    """A package without a wheel."""

    package: str
    compile: Callable[[Target, str, Path, Path], None]
    """``(target, python, source folder, file to make)``; ``python`` is a version like ``3.13``."""


def build(target: Target, python: str, missing: Missing) -> Path:
    """The wheel's file for one Python version."""
    parts = (rust.sysroot().name, lock.version(missing.package), cache.content([Path(__file__)]))
    name = f"{missing.package}-{target.name}-{python}-{cache.key(*parts)}"

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root()) as temporary:
            work = Path(temporary)
            source = _source(missing.package, work)
            wheel = _sibling_wheel(missing.package, python, work)
            run([toolbox() / "python", "-m", "wheel", "unpack", wheel, "--dest", work / "wheel"])
            tree = next((work / "wheel").iterdir())
            old = next(tree.rglob("*.so"))
            new = old.with_name(old.name.replace(SIBLING.gcc, target.gcc))
            missing.compile(target, python, source, new)
            old.unlink()
            run([f"{target.gcc}-strip", "--strip-unneeded", new])
            _write_tags(tree, target)
            run(
                [toolbox() / "python", "-m", "wheel", "pack", tree, "--dest-dir", folder],
                env={"SOURCE_DATE_EPOCH": str(reproducible.epoch())},
            )

    return next(cache.built("dependency", name, fill).glob("*.whl"))


def _pip(*words: str | Path) -> str:
    return run([sys.executable, "-m", "pip", *words])


def _source(package: str, work: Path) -> Path:
    folder = work / "source"
    _pip("download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", folder, lock.pinned(package))
    run(["tar", "-xf", next(folder.glob("*.tar.gz")), "-C", folder])
    return next(path for path in folder.iterdir() if path.is_dir())


def _sibling_wheel(package: str, python: str, work: Path) -> Path:
    folder = work / "sibling"
    platforms = [word for platform in SIBLING.pip_platforms for word in ("--platform", platform)]
    tags = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms]
    _pip("download", "--quiet", "--no-deps", *tags, "-d", folder, lock.pinned(package))
    return next(folder.glob("*.whl"))


def _write_tags(tree: Path, target: Target) -> None:
    file = next(tree.glob("*.dist-info/WHEEL"))
    lines = [line for line in file.read_text().splitlines() if line]
    tag = next(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: "))
    interpreter, abi, _ = tag.split("-")
    lines = [line for line in lines if not line.startswith(("Tag: ", "Build: "))]
    file.write_text("\n".join([*lines, f"Tag: {interpreter}-{abi}-{target.wheel_platform}"]) + "\n")


def _compile_cbor2(target: Target, python: str, source: Path, file: Path) -> None:
    compiler = rust.sysroot()
    env = environment(target, compiler, source) | {
        "PYO3_CROSS": "1",
        "PYO3_CROSS_PYTHON_VERSION": python,
        "CARGO_PROFILE_RELEASE_STRIP": "true",
    }
    run(["cargo", "build", "--release", "--locked", "--target", target.triple], env=env, cwd=source / "rust")
    made = Path(env["CARGO_TARGET_DIR"]) / target.triple / "release" / "lib_cbor2.so"
    file.write_bytes(made.read_bytes())
    file.chmod(0o755)


def _compile_cffi(target: Target, python: str, source: Path, file: Path) -> None:
    suite = next((suite for suite, version in target.suites.items() if version == python), None)
    if suite is None:
        raise Failure(f"no Debian suite of {target.name} has Python {python}")
    headers = source / "debian"
    for deb in archive.fetch(Archive(suite, target.debian).only(f"libpython{python}-dev", "libffi-dev")):
        run(["dpkg-deb", "-x", deb, headers])
    include = headers / "usr" / "include"
    folders = [
        include / f"python{python}",
        include,
        include / target.gcc,
    ]  # pyconfig.h lies in a folder by architecture
    static = headers / "usr" / "lib" / target.gcc / "libffi.a"  # as PyPI's own wheels: no libffi of the board is needed
    flags = ["-O2", "-g0", "-fPIC", "-shared", "-DNDEBUG", "-Wl,--exclude-libs,ALL"]
    folders_flags = [f"-I{folder}" for folder in folders]
    code = source / "src" / "c" / "_cffi_backend.c"
    run([f"{target.gcc}-gcc", *flags, *folders_flags, code, static, "-o", file], cwd=source)


MISSING = {
    "armv7": (Missing("cbor2", _compile_cbor2), Missing("cffi", _compile_cffi)),
}
"""By target; aarch64 lacks nothing."""
