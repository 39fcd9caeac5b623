"""Runs the test suite on a board's architecture under QEMU user mode.

``python3 -m cross.usertest --target armv7``: a clean Debian of that architecture, the wheelhouse installed with pip as
on a board (no network, no compiler), then pytest on the installed package; the checkout's ``agent/`` is not there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cross import cache, emulator
from cross.board_python import install, prepared
from cross.board_source import SOURCES, lay_out
from cross.command import run
from cross.failure import Failure, exit_with
from cross.foreign_artifact import check_foreign_artifacts
from cross.inside import inside
from cross.refusals import check_refusals
from cross.target import TARGETS, Target, add_target_argument
from cross.wheelhouse import wheelhouse

PROCESSES = 2
"""pytests at once, each with a share of the tests; most tests keep one core busy."""
EXCLUDED = Path(__file__).with_name("user_mode.toml")


def excluded() -> dict[str, str]:
    """Node id prefixes and why user mode cannot run them."""
    table = tomllib.loads(EXCLUDED.read_text())
    return {key: str(reason) for key, reason in table.items()}


def usertest(target: Target, suite: str, arguments: Sequence[str]) -> int:
    """Run the tests; pytest's status, the worst of all processes."""
    emulator.register(target)
    base = prepared(target, suite)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache.root()) as temporary:
        root = Path(temporary) / "root"
        run(["cp", "-a", base, root])
        install(root, target)
        lay_out(root, target)
        print(run(inside(root, ["waspi", "--version"])), end="", flush=True)
        check_foreign_artifacts(root, target)
        check_refusals(root, target)
        reasons = excluded()
        for node, reason in reasons.items():
            print(f"[left  ] {node}: {reason}")
        deselect = [word for node in reasons for word in ("--deselect", node)]
        print(f"[pytest] {target.name}, {suite}, {PROCESSES} processes", flush=True)
        with ThreadPoolExecutor(PROCESSES) as pool:
            shares = [f"{at}/{PROCESSES}" for at in range(PROCESSES)]
            return max(pool.map(lambda share: _pytest(root, share, [*deselect, *arguments]), shares))


def content(target: Target, suite: str, arguments: Sequence[str]) -> str:
    """A name for all that the outcome depends on."""
    sources = cache.content([cache.CHECKOUT / name for name in (*SOURCES, "requirements.lock")])
    parts = (wheelhouse(target, tests=True).name, prepared(target, suite).name, str(emulator.emulator(target)))
    return f"{target.name}-{suite}-{cache.key(*parts, sources, *arguments)}"


def once(target: Target, suite: str, arguments: Sequence[str]) -> int:
    """Run the tests unless the same tests of the same wheels have passed already."""

    def build(folder: Path) -> None:
        status = usertest(target, suite, arguments)
        if status != 0:
            raise Failure(f"{target.name} {suite}: pytest status {status}")
        (folder / "passed").touch()

    emulator.register(target)
    cache.built("passed", content(target, suite, arguments), build)
    return 0


def _pytest(root: Path, share: str, arguments: Sequence[str]) -> int:
    # CI: hypothesis then tries the same examples in every run.
    script = f'cd /src && CI=true exec python -m pytest -q -p no:cacheprovider -p cross.shard --shard {share} "$@"'
    with subprocess.Popen(
        inside(root, ["sh", "-c", script, "sh", *arguments]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        for line in running.stdout or ():
            print(f"[{share}] {line}", end="", flush=True)
    return running.returncode


def main() -> int:
    """Run, print pytest's own summary."""
    parser = argparse.ArgumentParser(
        description="Run the test suite under QEMU user mode; more arguments go to pytest."
    )
    add_target_argument(parser)
    parser.add_argument("--suite", help="Debian release (default: each one of the target)")
    parser.add_argument("--once", action="store_true", help="not again what has passed with the same content")
    arguments, rest = parser.parse_known_args()
    target = TARGETS[arguments.target]
    suites = [arguments.suite] if arguments.suite else list(target.suites)
    started = time.monotonic()
    take = once if arguments.once else usertest
    results = {suite: take(target, suite, rest) for suite in suites}
    for suite, status in results.items():
        print(f"{target.name} {suite}: {'passed' if status == 0 else f'failed, pytest status {status}'}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return max(results.values())


if __name__ == "__main__":
    exit_with(main)
