"""``make conformance``: the WebAssembly suite on the engine of this package, in every mode, as a table."""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

from tests.conformance import runner, workers
from tests.conformance.suite import Plan, prepared
from waspi import _wasmer

_WORKERS = "workers"
_SHOWN = 40
"""Failures that are printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when an assertion failed."""
    modes = (*runner.MODES, _WORKERS)
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run", description=__doc__)
    parser.add_argument("--mode", action="append", choices=modes, help="may be repeated (default: all)")
    chosen = tuple(parser.parse_args(arguments).mode or modes)
    suite = prepared()
    rows: dict[str, runner.Tally] = defaultdict(runner.Tally)
    spent: dict[str, float] = defaultdict(float)
    here = tuple(mode for mode in chosen if mode != _WORKERS)
    begun = time.monotonic()
    for tested in suite.plan.tested if here else ():
        for mode, tally in runner.in_process(suite, tested, here):
            rows[mode].add(tally)
            now = time.monotonic()
            spent[mode], begun = spent[mode] + now - begun, now
    if here:
        for refused in suite.plan.refused:
            rows["compiler"].add(runner.refuse(suite, refused))
        spent["compiler"] = time.monotonic() - begun
    if _WORKERS in chosen:
        begun = time.monotonic()
        rows[_WORKERS] = workers.run(suite, suite.plan.tested)
        spent[_WORKERS] = time.monotonic() - begun
    _print(suite.plan, rows, spent)
    return 1 if any(tally.failed for tally in rows.values()) else 0


def _print(plan: Plan, rows: dict[str, runner.Tally], spent: dict[str, float]) -> None:
    print(f"\n{plan.version} on {_wasmer.ENGINE}, {_wasmer.TARGET}")
    print(f"{'mode':10}{'returns':>9}{'traps':>8}{'refusals':>10}{'failed':>8}{'left out':>10}{'seconds':>9}")
    for mode, tally in rows.items():
        counts = (tally.passed["returns"], tally.passed["traps"], tally.passed["refusals"])
        left_out = sum(tally.left_out.values())
        print(
            f"{mode:10}{counts[0]:>9}{counts[1]:>8}{counts[2]:>10}{len(tally.failed):>8}{left_out:>10}{spent[mode]:>9.1f}"
        )
    reasons = {**plan.left_out, **{why: count for tally in rows.values() for why, count in tally.left_out.items()}}
    print("left out: " + "; ".join(f"{count} ({why})" for why, count in reasons.items()))
    for mode, tally in rows.items():
        for line in tally.failed[:_SHOWN]:
            print(f"FAILED {mode} {line}")


if __name__ == "__main__":
    sys.exit(main())
