"""Builds a board's wheel and Debian package a second time, elsewhere, and compares: ``python3 -m cross.twice``.

The second build starts from nothing: other folders for sources, crates and objects, at a later time. Crates and objects
of the first are not used. It is armv7's in CI, which takes three minutes of CPU; Wasmer's takes twenty.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from cross import cache, rust, wheel
from cross.deb import deb, package
from cross.failure import Failure, exit_with
from cross.target import TARGETS, Target, add_target_argument
from cross.wheelhouse import wheelhouse


def differing(first: Path, second: Path) -> list[str]:
    """Members of two wheels that are not the same bytes, or stand in one only."""
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        names = sorted({*one.namelist(), *other.namelist()})
        return [
            name
            for name in names
            if name not in one.namelist() or name not in other.namelist() or one.read(name) != other.read(name)
        ]


def compare(kind: str, first: Path, second: Path) -> str:
    """The SHA-256 that both have; raises Failure where they differ."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (first, second)]
    if digests[0] != digests[1]:
        inside = f": {', '.join(differing(first, second)) or 'order or dates'}" if kind == "wheel" else ""
        raise Failure(f"{kind}: two builds differ{inside}\n  {digests[0]}  {first}\n  {digests[1]}  {second}")
    print(f"[twice ] {kind}: {digests[0]}", flush=True)
    return digests[0]


def build_twice(target: Target) -> None:
    """Compare the cached wheel and package with ones that are made anew; raises Failure where they differ."""
    first_wheel, first_deb = wheel.wheel(target), deb(target)
    with tempfile.TemporaryDirectory(prefix="waspi-twice-") as temporary:
        folder = Path(temporary)
        stage, out, objects = folder / "another" / "place", folder / "out", folder / "objects"
        out.mkdir()
        wheel.copy_sources(stage)
        home = os.environ.get("CARGO_HOME")
        os.environ["CARGO_HOME"] = str(folder / "crates")
        _keep_settings(Path(home) if home else Path.home() / ".cargo", folder / "crates")
        try:
            wheel.build(target, rust.sysroot(), stage, out, objects)
        finally:
            if home is None:
                del os.environ["CARGO_HOME"]
            else:
                os.environ["CARGO_HOME"] = home
        second = next(out.glob("*.whl"))
        compare("wheel", first_wheel, second)
        wheels = folder / "wheels"
        shutil.copytree(wheelhouse(target), wheels)
        shutil.copyfile(second, wheels / second.name)
        made = folder / "deb"
        made.mkdir()
        package(target, wheels, made)
        compare("package", first_deb, next(made.glob("*.deb")))


def _keep_settings(home: Path, crates: Path) -> None:
    """Where cargo finds its registry is the machine's setting, not a result of the first build."""
    crates.mkdir()
    for name in ("config.toml", "credentials.toml"):
        if (home / name).exists():
            shutil.copyfile(home / name, crates / name)


def main() -> int:
    """Build, compare, say the digests."""
    parser = argparse.ArgumentParser(description="Build a board's packages twice and compare them byte by byte.")
    add_target_argument(parser)
    parser.add_argument("--once", action="store_true", help="not again where the same sources have passed")
    arguments = parser.parse_args()
    target = TARGETS[arguments.target]
    if not arguments.once:
        build_twice(target)
        return 0
    name = f"{target.name}-{cache.key(deb(target).parent.name, cache.content([Path(__file__)]))}"

    def passed(folder: Path) -> None:
        build_twice(target)
        (folder / "same").touch()

    cache.built("twice", name, passed)
    print(f"two builds of {target.name}'s packages are the same bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    exit_with(main)
