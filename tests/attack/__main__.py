"""Run the attacks and print what came of each: ``python -m tests.attack [NAME...] [--list]``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tests.attack
from tests.attack.board import Board, Finding

if TYPE_CHECKING:
    from collections.abc import Callable

SPARED_S = 10.0
"""A job of the operator's that takes longer during an attack was stopped by it."""


@dataclass(frozen=True)
class Attack:
    """One program."""

    name: str
    what: str
    run: Callable[[Board], Finding]
    rest: str | None


def attacks() -> list[Attack]:
    """All programs, by name."""
    found = []
    for module in sorted(pkgutil.iter_modules(tests.attack.__path__), key=lambda each: each.name):
        if module.name in {"__main__", "captured_agent"}:
            continue
        loaded = importlib.import_module(f"tests.attack.{module.name}")
        if hasattr(loaded, "attack"):
            what = (loaded.__doc__ or module.name).splitlines()[0].rstrip(".")
            found.append(Attack(module.name, what, loaded.attack, getattr(loaded, "REST", None)))
    return found


def run(attack: Attack, folder: Path) -> Finding:
    """On a board of its own, while an operator goes on working."""
    with Board(folder) if attack.rest is None else Board(folder, rest=attack.rest) as board:
        with board.pulse() as pulse:
            finding = attack.run(board)
        seen = f"{finding.seen}; " if finding.seen else ""
        finding.seen = f"{seen}{pulse.answered} other jobs, the slowest {pulse.slowest_s:.2f} s"
        if pulse.failures:
            finding.held = False
            finding.seen += f"; an operator's job failed: {pulse.failures[0]}"
        elif pulse.slowest_s > SPARED_S:
            finding.held = False
        if not board.agent.alive:
            finding.held = False
            finding.seen += "; the agent is gone"
    return finding


def main() -> int:
    """0 when every attack was stopped."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; by default all")
    parser.add_argument("--list", action="store_true", help="what there is")
    arguments = parser.parse_args()
    known = attacks()
    chosen = [attack for attack in known if not arguments.names or attack.name in arguments.names]
    unknown = set(arguments.names) - {attack.name for attack in known}
    if unknown:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}; --list shows what there is")
    width = max(len(attack.name) for attack in known)
    if arguments.list:
        for attack in known:
            print(f"{attack.name:{width}}  {attack.what}")
        return 0
    failed = 0
    for attack in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="waspi-attack-") as folder:
            try:
                finding = run(attack, Path(folder))
            except Exception:  # noqa: BLE001 - an attack that cannot be made is a failure of this program
                finding = Finding(held=False, stopped_by="-", seen=traceback.format_exc())
        failed += not finding.held
        mark = "held  " if finding.held else "FAILED"
        print(f"{mark} {attack.name:{width}} {time.monotonic() - began:5.1f} s  {attack.what}")
        print(f"       {'':{width}}          stopped by: {finding.stopped_by}; seen: {finding.seen}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} attacks were stopped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
