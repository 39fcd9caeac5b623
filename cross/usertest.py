"""Runs the test suite on a board's architecture under QEMU user mode.

``python3 -m cross.usertest --target armv7``: a clean Debian of that architecture, the wheelhouse installed with pip as
on a board (no network, no compiler), then pytest on the installed package; the checkout's ``agent/`` is not there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cross import cache, emulator
from cross.command import run
from cross.failure import Failure, exit_with
from cross.rootfs import rootfs
from cross.target import TARGETS, Target, add_target_argument
from cross.wheelhouse import EXTRAS, TESTS, wheelhouse

EXCLUDED = Path(__file__).with_name("user_mode.toml")
SOURCES = ("tests", "guests", "build/guests", "pyproject.toml", "systemd", "bench")
# Guests are built by compilers of this machine, before the tests; on the board this takes the builder's place.
BUILDER = "raise SystemExit(0)\n"
# pip from Debian's own wheel: letting venv install it takes a minute under emulation, most of it compiling bytecode.
INSTALL = """
set -eu
python3 -m venv --without-pip /opt/waspi
PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --no-index --find-links /wheelhouse \
    --no-compile --quiet "$@"
"""
# The mount and process namespaces end with the script, and everything in them.
INSIDE = """
set -eu
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/run"
root=$1
shift
exec chroot "$root" /usr/bin/env -i PATH=/opt/waspi/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 "$@"
"""


def inside(root: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` in ``root`` with mounts and processes of its own."""
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-c", INSIDE, "sh", str(root), *command]


def installed(target: Target, suite: str) -> Path:
    """A root file system with the wheelhouse installed in ``/opt/waspi``. It is the cache's: copy it."""
    wheels = wheelhouse(target, tests=True)
    base = rootfs(target, suite)
    name = f"{target.name}-{suite}-{cache.key(wheels.name, base.name, cache.content([Path(__file__)]))}"

    def build(folder: Path) -> None:
        run(["cp", "-a", f"{base}/.", folder])
        shutil.copytree(wheels, folder / "wheelhouse")
        started = time.monotonic()
        what = [f"waspi[{','.join(EXTRAS)}]", *TESTS]
        print(run(inside(folder, ["sh", "-c", INSTALL, "sh", *what])), end="", flush=True)
        print(f"[pip   ] installed on emulated {suite} in {time.monotonic() - started:.0f} s", flush=True)
        shutil.rmtree(folder / "wheelhouse")

    return cache.built("installed", name, build)


def excluded() -> dict[str, str]:
    """Node id prefixes and why user mode cannot run them."""
    table = tomllib.loads(EXCLUDED.read_text())
    return {key: str(reason) for key, reason in table.items()}


def usertest(target: Target, suite: str, arguments: Sequence[str]) -> int:
    """Run the tests; pytest's status."""
    emulator.register(target)
    if not (cache.CHECKOUT / "build" / "guests").is_dir():
        raise Failure("the guests are not built: run 'make setup'")
    base = installed(target, suite)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache.root()) as temporary:
        root = Path(temporary) / "root"
        run(["cp", "-a", base, root])
        source = root / "src"
        for name in SOURCES:
            path = cache.CHECKOUT / name
            if path.is_dir():
                shutil.copytree(path, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            elif path.exists():
                shutil.copy2(path, source / name)
        (source / "guests" / "build.py").write_text(BUILDER)
        run(inside(root, ["waspi", "--version"]))
        reasons = excluded()
        for node, reason in reasons.items():
            print(f"[left  ] {node}: {reason}")
        deselect = [word for node in reasons for word in ("--deselect", node)]
        pytest = ["sh", "-c", 'cd /src && exec python -m pytest -q -p no:cacheprovider "$@"', "sh"]
        print(f"[pytest] {target.name}, {suite}", flush=True)
        return subprocess.run(inside(root, [*pytest, *deselect, *arguments]), check=False).returncode


def main() -> int:
    """Run, print pytest's own summary."""
    parser = argparse.ArgumentParser(
        description="Run the test suite under QEMU user mode; more arguments go to pytest."
    )
    add_target_argument(parser)
    parser.add_argument("--suite", help="Debian release (default: each one of the target)")
    arguments, rest = parser.parse_known_args()
    target = TARGETS[arguments.target]
    suites = [arguments.suite] if arguments.suite else list(target.suites)
    started = time.monotonic()
    results = {suite: usertest(target, suite, rest) for suite in suites}
    for suite, status in results.items():
        print(f"{target.name} {suite}: {'passed' if status == 0 else f'failed, pytest status {status}'}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return max(results.values())


if __name__ == "__main__":
    exit_with(main)
