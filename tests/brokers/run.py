"""``make conformance-brokers``: every check on every broker that can be had here; prints the table of docs/BROKERS.md.

``python -m tests.brokers.run [NAME...]`` takes brokers by the beginnings of their names, ``--write`` puts the table
into docs/BROKERS.md. Exit status 1: a check failed that is not known as the broker's own fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from cross.failure import Failure

from tests.brokers.brokers import ALL, Broker
from tests.brokers.checks import CHECKS, outcome

PAGE = Path(__file__).parents[2] / "docs/BROKERS.md"
BEGIN, END = "<!-- table: make conformance-brokers -->\n", "<!-- end of table -->\n"


def check(kind: type[Broker], folder: Path, only: str) -> dict[str, str]:
    """What each check said: "yes", a reason, or "-" where it does not apply; prints as it goes."""
    said: dict[str, str] = {}
    with kind(folder / "broker") as broker:
        for each in CHECKS:
            if only not in each.name or (each.restarts and not kind.persistent):
                said[each.name] = "-"
                continue
            begin = time.monotonic()
            failed = outcome(each, broker, folder)
            said[each.name] = "yes" if failed is None else failed
            known = each.name in kind.faults
            mark = {(True, False): "ok   ", (False, False): "FAIL ", (False, True): "known", (True, True): "NEWS "}
            print(
                f"{mark[failed is None, known]} {each.name} [{time.monotonic() - begin:.1f} s] {failed or ''}",
                flush=True,
            )
    return said


def table(results: dict[str, dict[str, str]], kinds: dict[str, type[Broker]]) -> str:
    """The results in Markdown, and the brokers' own faults under it."""
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for each in CHECKS:
        cells = []
        for name in names:
            told = results[name][each.name]
            cells.append(told if told in {"yes", "-"} else "no" if each.name in kinds[name].faults else "FAILED")
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in names:
        lines += [f"- {name}, {what}: {why}" for what, why in kinds[name].faults.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Check waspi with brokers of several makers.")
    parser.add_argument("names", nargs="*", help="beginnings of brokers' names (default: all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only checks with this in their names")
    parser.add_argument("--write", action="store_true", help="put the table into docs/BROKERS.md")
    arguments = parser.parse_args()
    wanted = [name.lower() for name in arguments.names]
    results: dict[str, dict[str, str]] = {}
    kinds = {kind.name: kind for kind in ALL}
    bad = 0
    for kind in ALL:
        if wanted and not any(kind.name.lower().startswith(name) for name in wanted):
            continue
        print(f"== {kind.name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = check(kind, Path(folder), arguments.only)
            except Failure as failure:
                print(f"not to be had here: {failure}", flush=True)
                continue
        results[kind.name] = said
        bad += sum(name not in kind.faults for name, told in said.items() if told not in {"yes", "-"})
    text = table(results, kinds)
    print(text)
    if arguments.write:
        page = PAGE.read_text()
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(head + BEGIN + text + END + tail)
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
