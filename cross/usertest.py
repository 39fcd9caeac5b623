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
from pathlib import Path

from cross import cache, emulator
from cross.board_python import install, prepared
from cross.board_source import lay_out
from cross.command import run
from cross.failure import exit_with
from cross.foreign_artifact import check_foreign_artifacts
from cross.inside import inside
from cross.target import TARGETS, Target, add_target_argument

EXCLUDED = Path(__file__).with_name("user_mode.toml")


def excluded() -> dict[str, str]:
    """Node id prefixes and why user mode cannot run them."""
    table = tomllib.loads(EXCLUDED.read_text())
    return {key: str(reason) for key, reason in table.items()}


def usertest(target: Target, suite: str, arguments: Sequence[str]) -> int:
    """Run the tests; pytest's status."""
    emulator.register(target)
    base = prepared(target, suite)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache.root()) as temporary:
        root = Path(temporary) / "root"
        run(["cp", "-a", base, root])
        install(root, target)
        lay_out(root, target)
        print(run(inside(root, ["waspi", "--version"])), end="", flush=True)
        check_foreign_artifacts(root)
        reasons = excluded()
        for node, reason in reasons.items():
            print(f"[left  ] {node}: {reason}")
        deselect = [word for node in reasons for word in ("--deselect", node)]
        # CI: hypothesis then has no deadline for one example, which emulation would miss.
        pytest = ["sh", "-c", 'cd /src && CI=true exec python -m pytest -q -p no:cacheprovider "$@"', "sh"]
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
