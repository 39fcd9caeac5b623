"""The faults and attacks that waspi must survive, and the tests that show it: writes the table of the README.

python -m tests.faults           prints the table
python -m tests.faults --write   puts it between the marks in README.md
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
FAULTS = {
    1: "agent killed before the job is on the disk",
    2: "after that, before PUBACK",
    3: "while the guest runs",
    4: "after the result is on the disk, before it is published",
    5: "after its PUBACK, before the outbox row goes",
    6: "at every write of the journal in turn",
    7: "broker killed, and back with an empty store",
    8: "broker away for long, outbox full",
    9: "the same id with another body",
    10: "disk full or failing at a commit",
    11: "broker refuses a publish",
    12: "server Receive Maximum of 1",
    13: "ten thousand jobs waiting",
    14: "clock set back or forward by years",
    15: "unsigned, wrong key, wrong audience, expired",
    16: "a signed job replayed, or sent to another device",
    17: "retained job",
    18: "old metadata or deployment",
    19: "new root without the old keys, or a version skipped",
    20: "chunks mixed, misplaced, endless",
    21: "download cut anywhere",
    22: "broken packets, 256 MB, topic alias",
    23: "CBOR bombs, duplicate keys, trailing bytes",
    24: "ids with #, +, / or $",
    25: "endless loops in entry, alloc, start",
    26: "memory.grow and table.grow bombs",
    27: "modules that explode at compile time",
    28: "unknown imports, memory64, threads",
    29: "pointers and sizes at every edge",
    30: "worker killed, or answering garbage",
    31: "worker tries open, socket, exec, kill, ptrace",
    32: "recursion, division, unreachable, out of bounds, bad call",
    33: "power cut anywhere in an update",
    34: "release fails its golden pairs, or crashes in its trial",
    35: "loop hangs: watchdog",
    43: "floods of QoS 0, of queries, of refused jobs",
    44: "a thousand failed looks for updates in a row",
    45: "modules never seen, one after the other",
    46: "an older agent finds a newer journal",
    47: "a device leaves a group",
    48: "a plain output that looks like a result envelope",
    49: "limits that a publisher sets too low, again and again",
}
_TEST = re.compile(r"def (?:test_)?fault_(\d\d)_\w+")


def places() -> dict[int, dict[str, int]]:
    """Number of tests by fault and file."""
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    # Beside pytest's: the steps of `make test-boot`, on a whole board.
    for path in (*sorted((ROOT / "tests").rglob("test_*.py")), *sorted((ROOT / "cross").glob("*steps.py"))):
        for number in _TEST.findall(path.read_text()):
            found[int(number)][str(path.relative_to(ROOT))] += 1
    return found


def table() -> str:
    """The table in Markdown."""
    found = places()
    lines = ["| | fault | tests; steps: of `make test-boot`, on a whole board |", "| --- | --- | --- |"]
    for number, what in FAULTS.items():
        files = found.get(number, {})
        where = ", ".join(f"[{Path(name).stem}]({name})" for name in files)
        lines.append(f"| {number} | {what} | {sum(files.values())}: {where} |")
    return "\n".join(lines)


def current() -> str:
    """What stands in the README."""
    return README.read_text().split(BEGIN)[1].split(END)[0].strip()


def write() -> None:
    """Put the table into the README."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write()
    else:
        print(table())
