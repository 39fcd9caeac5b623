"""``make conformance-tuf SUITE=DIR``: the public TUF conformance suite on the client that boards have, as a table."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the suite; 1 when a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.tuf", description=__doc__)
    parser.add_argument("suite", type=Path, help="a checkout of tuf-conformance")
    suite = parser.parse_args().suite.resolve()
    if not (suite / "tuf_conformance" / "conftest.py").is_file():
        parser.error(f"{suite} is no checkout of tuf-conformance")
    with tempfile.TemporaryDirectory(prefix="waspi-tuf-") as name:
        report = Path(name) / "report.xml"
        client = Path(name) / "client"
        client.write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT}/agent:{ROOT} exec {sys.executable} -m tests.conformance.tuf_client "$@"\n'
        )
        client.chmod(0o755)
        command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}")
        subprocess.run([*command, "--entrypoint", str(client), "tuf_conformance"], cwd=suite, check=False)
        rows = outcomes(report.read_bytes())
    print(table(rows))
    return 1 if not rows or any(row["failed"] for row in rows.values()) else 0


def outcomes(report: bytes) -> dict[str, Counter[str]]:
    """Cases by area (the suite's file) and outcome: ``passed``, ``failed``, ``skipped``. From pytest's JUnit XML."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for case in ElementTree.fromstring(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        area = case.get("classname", "").rpartition(".")[2].removeprefix("test_").replace("_", " ")
        kinds = {child.tag for child in case}
        failed = kinds & {"failure", "error"}
        rows[area]["failed" if failed else "skipped" if "skipped" in kinds else "passed"] += 1
    return rows


def table(rows: dict[str, Counter[str]]) -> str:
    """The rows in Markdown, with their sum."""
    lines = ["| area | passed | failed | skipped |", "| --- | ---: | ---: | ---: |"]
    total = sum(rows.values(), Counter[str]())
    for area, row in [*sorted(rows.items()), ("all", total)]:
        lines.append(f"| {area} | {row['passed']} | {row['failed']} | {row['skipped']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
