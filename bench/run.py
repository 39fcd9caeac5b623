"""Run the bench: every measurement in turn, then a table of ratios and targets.

``python -m bench.run [--quick] [--only NAME]... [--json] [--output DIR] [--wheel FILE]``,
or ``--redraw``.

A measurement is a module with ``NAME`` and ``measure(session) -> Section``; it is added to ``MEASUREMENTS``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import calls, cancel, depot, javascript, memory, roundtrip, start, update, wheel, worker_start, writes
from bench.machine import Machine
from bench.picture import picture
from bench.readme import place
from bench.report import Report, read
from bench.session import GUEST, ROOT, Session, cache_folder
from bench.table import markdown

if TYPE_CHECKING:
    from bench.section import Section

MEASUREMENTS: Final = (calls, javascript, roundtrip, start, worker_start, memory, writes, update, depot, cancel, wheel)
RESULTS: Final = ROOT / "bench" / "results"


def main() -> int:
    """Measure, print, write."""
    arguments = _arguments()
    if arguments.redraw:
        report = read(RESULTS / "latest.json")
        write(report, RESULTS)
        place(report)
        return 0
    if not GUEST.exists():
        print(f"bench: {GUEST.relative_to(ROOT)} is missing; make it: make setup", file=sys.stderr)
        return 2
    report = _measure(arguments)
    print(report.to_json() if arguments.json else markdown(report))
    if not arguments.json and report.targets:
        met = sum(target.met for target in report.targets)
        print(f"{met} of {len(report.targets)} targets met, {report.seconds:.0f} s")
    if arguments.output:
        write(report, arguments.output)
    if arguments.output == RESULTS:
        place(report)
    return 0


def write(report: Report, folder: Path) -> None:
    """Write ``latest.json``, ``table.md`` and ``latest.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(report.to_json())
    (folder / "table.md").write_text(markdown(report))
    (folder / "latest.svg").write_text(picture(report))


def _measure(arguments: argparse.Namespace) -> Report:
    begin = time.monotonic()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    shared_memory = "/dev/shm" if os.path.ismount("/dev/shm") else None  # noqa: S108, PTH - a mount, not a temporary file
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as disk,
        tempfile.TemporaryDirectory(prefix="waspi-bench-", dir=shared_memory) as tmpfs,
    ):
        session = Session(Path(disk), Path(tmpfs), arguments.quick, _say, arguments.wheel)
        machine = Machine.here(session)
        sections: list[Section] = []
        for measurement in MEASUREMENTS:
            if not arguments.only or measurement.NAME in arguments.only:
                _say(f"{measurement.NAME}: {(measurement.__doc__ or '').splitlines()[0]}", head=True)
                sections.append(measurement.measure(session))
    day = datetime.now(UTC).date().isoformat()
    return Report(day, arguments.quick, time.monotonic() - begin, machine, sections)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=(__doc__ or "").splitlines()[0])
    names = [measurement.NAME for measurement in MEASUREMENTS]
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples: to see that it works")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write latest.json, table.md and latest.svg there")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the wheel to weigh; default: the newest in dist/")
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing: table and picture anew from latest.json"
    )
    arguments = parser.parse_args()
    # A part of the bench, or a quick one, must not pass for the whole.
    if arguments.output is None and not arguments.only and not arguments.quick:
        arguments.output = RESULTS
    return arguments


def _say(text: str, *, head: bool = False) -> None:
    """Progress goes to stderr; on a terminal one line tells the present step."""
    terminal = sys.stderr.isatty()
    if head or terminal:
        erase = "\r\033[K" if terminal else ""
        print(f"{erase}{'' if head else '  '}{text}", end="\n" if head else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
