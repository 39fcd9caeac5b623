"""Boots a whole board in QEMU and puts the package through its life: ``python3 -m cross.boot``.

Debian arm64 with systemd as PID 1, a broker and an operator on this machine's loopback. Prints passed or failed for
each step and a table of figures (of the emulated board: good for proportions, not for a Pi's speed). Run it with the
Python of ``make setup``: the operator needs paho and cbor2.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cross import cache
from cross.command import need, run
from cross.deb import deb
from cross.failure import Failure, exit_with
from cross.image import image
from cross.machine import Machine
from cross.steps import Steps
from cross.target import TARGETS, Target


def boot(target: Target, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Run every step in ``folder``; ``(step: outcome, figure: value)``."""
    need("qemu-system-aarch64", "mosquitto", "mosquitto_passwd", "wat2wasm")
    picture = image(target)
    package = deb(target)
    disk, parcel = folder / "disk", folder / "parcel"
    run(["cp", "--sparse=always", picture.disk, disk])
    with tarfile.open(parcel, "w") as archive:
        archive.add(package, "waspi.deb")
    machines: list[Machine] = []

    def machine() -> Machine:
        machines.append(Machine(picture, disk, folder, parcel=parcel))
        return machines[-1]

    steps = Steps(machine(), folder, machine)
    plan: tuple[Callable[[], None], ...] = (
        steps.boot, steps.install, steps.broken_configuration, steps.missing_broker, steps.start, steps.job,
        steps.posture, steps.memory, steps.hardening, steps.killed, steps.watchdog, steps.broker_restart,
        steps.no_clock, steps.full_disk, steps.read_only_root, steps.power_cut, steps.purge, steps.power_off,
    )  # fmt: skip
    outcomes: dict[str, str] = {}
    try:
        for step in plan:
            outcomes[step.__name__] = _take(step, steps)
            if step in (steps.boot, steps.install) and outcomes[step.__name__] != "passed":
                break  # nothing that follows could tell more
    finally:
        for each in machines:
            each.close()
        steps.close()
    return outcomes, steps.figures


def _take(step: Callable[[], None], steps: Steps) -> str:
    started = time.monotonic()
    title = (step.__doc__ or step.__name__).splitlines()[0]
    try:
        step()
    except (Failure, OSError, LookupError, ValueError, RuntimeError) as error:
        print(f"[failed] {step.__name__}: {title} ({time.monotonic() - started:.0f} s)\n{error}", flush=True)
        _print_journal(steps)
        return f"failed: {str(error).splitlines()[0]}"
    print(f"[passed] {step.__name__}: {title} ({time.monotonic() - started:.0f} s)", flush=True)
    return "passed"


def _print_journal(steps: Steps) -> None:
    try:
        print(steps.machine.run("journalctl -b -u waspi -n 25 --no-pager -o short-monotonic", timeout=30, check=False))
    except (Failure, TimeoutError, OSError, AssertionError) as error:
        print(f"(no journal: {error})")


def main() -> int:
    """Run all, write ``build/boot-report-<target>.json``, print the table."""
    parser = argparse.ArgumentParser(description="Boot a whole board in QEMU and test the package on it.")
    parser.add_argument("--target", default="aarch64", choices=sorted(TARGETS), help="the userland (default: aarch64)")
    parser.add_argument("--keep", type=Path, help="keep disk and logs in this folder")
    arguments = parser.parse_args()
    target = TARGETS[arguments.target]
    started = time.monotonic()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="boot-", dir=cache.root()))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        outcomes, figures = boot(target, folder)
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    report = cache.CHECKOUT / "build" / f"boot-report-{target.name}.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"steps": outcomes, "figures": figures}, indent=1) + "\n")
    print("\n| on the emulated board | |\n| --- | --- |")
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    print(f"\n{time.monotonic() - started:.0f} s in all", file=sys.stderr)
    print(f"{passed} passed, {len(outcomes) - passed} failed")
    return 0 if passed == len(outcomes) else 1


if __name__ == "__main__":
    exit_with(main)
