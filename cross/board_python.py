"""Python on an emulated board: a virtual environment in ``/opt/waspi``, filled by pip from the wheelhouse alone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from cross import cache
from cross.command import run
from cross.inside import inside
from cross.rootfs import rootfs
from cross.target import Target
from cross.wheelhouse import EXTRAS, test_requirements, third_party, wheelhouse

# pip from Debian's own wheel: letting venv install it takes a minute under emulation, most of it compiling bytecode.
PIP = """
set -eu
PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --no-index --find-links /wheelhouse \\
    --quiet "$@"
"""


def prepared(target: Target, suite: str) -> Path:
    """A root file system with everything installed but waspi itself. It is the cache's: copy it."""
    wheels = third_party(target, tests=True)
    base = rootfs(target, suite)
    name = f"{target.name}-{suite}-{cache.key(wheels.name, base.name, cache.content([Path(__file__)]))}"

    def build(folder: Path) -> None:
        run(["cp", "-a", f"{base}/.", folder])
        run(inside(folder, ["python3", "-m", "venv", "--without-pip", "/opt/waspi"]))
        # The names alone: the wheelhouse holds one version of each.
        packages = sorted({wheel.name.split("-")[0] for wheel in wheels.glob("*.whl")})
        _pip(folder, wheels, ["--no-deps", *packages])

    return cache.built("board", name, build)


def install(root: Path, target: Target) -> None:
    """Install waspi as on a board: pip finds all that it depends on in the wheelhouse, or fails."""
    _pip(root, wheelhouse(target, tests=True), [f"waspi[{','.join(EXTRAS)}]", *test_requirements()])


def _pip(root: Path, wheels: Path, words: list[str]) -> None:
    started = time.monotonic()
    shutil.copytree(wheels, root / "wheelhouse")
    print(run(inside(root, ["sh", "-c", PIP, "sh", *words])), end="", flush=True)
    shutil.rmtree(root / "wheelhouse")
    print(f"[pip   ] {len(words)} requirements on the emulated board in {time.monotonic() - started:.0f} s", flush=True)
