"""Boots a whole board in QEMU and puts the package through its life: ``python3 -m cross.boot``.

Debian arm64 with systemd as PID 1, a broker and an operator on this machine's loopback. Prints passed or failed for
each step and a table of figures (of the emulated board: good for proportions, not for a Pi's speed). Run it with the
Python of ``make setup``: the operator needs paho and cbor2.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cross import apt_repository, cache
from cross.command import need, run
from cross.deb import deb
from cross.failure import Failure, exit_with
from cross.image import image
from cross.machine import Machine
from cross.pip_steps import PipSteps
from cross.steps import Steps
from cross.target import TARGETS, Target
from cross.update_steps import UpdateSteps
from cross.wheelhouse import wheelhouse


def boot(target: Target, folder: Path, *, by_pip: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Run every step in ``folder``, those of the way by pip if wanted; ``(step: outcome, figure: value)``."""
    need("qemu-system-aarch64", "mosquitto", "mosquitto_passwd", "wat2wasm", "gpg", "apt-ftparchive")
    picture = image(target)
    package = deb(target)
    disk, parcel = folder / "disk", folder / "parcel"
    run(["cp", "--sparse=always", picture.disk, disk])
    keys = apt_repository.trial_key(folder / "keys")
    apt_repository.write(folder / "apt", [package], apt_repository.TRIAL, keys)
    apt_repository.write(folder / "apt-next", [apt_repository.raised(package, folder)], apt_repository.TRIAL, keys)
    with tarfile.open(parcel, "w") as archive:
        archive.add(folder / "apt", "apt")
        archive.add(folder / "apt-next", "apt-next")
        archive.add(cache.CHECKOUT / "cross" / "install.sh", "install.sh")
        archive.add(wheelhouse(target), "wheelhouse")
    machines: list[Machine] = []

    def machine() -> Machine:
        machines.append(Machine(picture, disk, folder, parcel=parcel))
        return machines[-1]

    steps = Steps(machine(), folder, machine)
    updates, pip = UpdateSteps(steps, folder), PipSteps(steps)
    plan: tuple[Callable[[], None], ...] = (
        steps.boot, steps.install, steps.broken_configuration, steps.missing_broker, steps.start, steps.job,
        steps.posture, steps.memory, steps.hardening, steps.upgrade, steps.killed, steps.fault_35_watchdog,
        steps.fault_07_broker_restart, steps.fault_14_no_clock, steps.fault_10_full_disk, steps.read_only_root,
        steps.fault_03_power_cut,
        updates.update, updates.fault_33_power_cut_in_a_download, updates.fault_33_power_cut_in_a_golden_test,
        updates.fault_33_power_cut_in_a_trial, steps.purge,
        *((pip.by_pip, pip.depot, pip.uninstall) if by_pip else ()), steps.power_off,
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
        updates.close()
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
        print(
            steps.machine.run(
                "journalctl -b -u waspi -u waspi-depot -n 25 --no-pager -o short-monotonic", timeout=30, check=False
            )
        )
    except (Failure, TimeoutError, OSError, AssertionError) as error:
        print(f"(no journal: {error})")


def main() -> int:
    """Run all, write ``build/boot-report-<target>.json``, print the table."""
    parser = argparse.ArgumentParser(description="Boot a whole board in QEMU and test the package on it.")
    parser.add_argument("--target", default="aarch64", choices=sorted(TARGETS), help="the userland (default: aarch64)")
    parser.add_argument("--pip", action="store_true", help="also by pip, with a depot: as long again as the package")
    parser.add_argument("--once", action="store_true", help="not again what has passed with the same content")
    parser.add_argument("--keep", type=Path, help="keep disk and logs in this folder")
    arguments = parser.parse_args()
    target = TARGETS[arguments.target]
    if not arguments.once:
        return _report(target, arguments.keep, by_pip=arguments.pip)

    def build(folder: Path) -> None:
        if _report(target, arguments.keep, by_pip=arguments.pip) != 0:
            raise Failure("the boot test failed")
        (folder / "passed").touch()

    cache.built("passed", content(target, str(arguments.pip)), build)
    return 0


def content(target: Target, how: str) -> str:
    """A name for all that the outcome depends on."""
    tools = cache.content(
        cache.CHECKOUT / name for name in ("cross", "tests/simulators", "agent/waspi", "build/guests")
    )
    return f"boot-{target.name}-{cache.key(deb(target).parent.name, image(target).disk.parent.name, tools, how)}"


def _report(target: Target, keep: Path | None, *, by_pip: bool) -> int:
    started = time.monotonic()
    folder = keep or Path(tempfile.mkdtemp(prefix="boot-", dir=cache.root()))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        outcomes, figures = boot(target, folder, by_pip=by_pip)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    report = cache.CHECKOUT / "build" / f"boot-report-{target.name}.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"steps": outcomes, "figures": figures}, indent=1) + "\n")
    print("\n| on the emulated board | |\n| --- | --- |")
    for name, value in figures.items():
        print(f"| {name} | {value} |")
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{time.monotonic() - started:.0f} s in all, {used.ru_utime + used.ru_stime:.0f} s of CPU", file=sys.stderr)
    print(f"{passed} passed, {len(outcomes) - passed} failed")
    return 0 if passed == len(outcomes) else 1


if __name__ == "__main__":
    exit_with(main)
