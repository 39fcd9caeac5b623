"""What a board that waspi was not made for gets to read: the reason, once, and a status that systemd does not retry.

Run on the emulated board, where a part of this is the plain truth: QEMU's user mode has no seccomp.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cross import cache
from cross.board_python import PIP
from cross.failure import Failure
from cross.inside import inside
from cross.target import TARGETS, Target
from cross.wheelhouse import wheelhouse

CONFIGURATION = """[device]
state_dir = "/root/state"
[broker]
url = "mqtt://127.0.0.1:1"
[policy]
require = ["seccomp"]
"""
NOT_CONFIGURED, NOT_USABLE = 78, 4
"""Exit statuses of waspi: ``RestartPreventExitStatus=`` names the first; the second is the device's fault."""


def check_refusals(root: Path, target: Target) -> None:
    """Try each on the board in ``root``, where waspi is installed; Failure for one that is not told, or told twice."""
    ours = next(wheelhouse(target, tests=True).glob("waspi-*.whl"))
    _wrong_wheel(root, target, ours)
    _python_too_old(root, ours)
    _no_seccomp(root)
    _foreign_module(root)


def _wrong_wheel(root: Path, target: Target, ours: Path) -> None:
    other = next(each for each in TARGETS.values() if each is not target)
    name = ours.name.replace(target.wheel_platform, other.wheel_platform)
    shutil.copy2(ours, root / "root" / name)
    status, text = _told(root, ["sh", "-c", PIP, "sh", "--no-deps", f"/root/{name}"])
    _expect("another board's wheel", status, 1, text, "is not a supported wheel on this platform")


def _python_too_old(root: Path, ours: Path) -> None:
    shutil.copytree(ours.parent, root / "wheelhouse")
    older = ["--python-version", "3.10", "--only-binary", ":all:", "--no-deps", "--target", "/root/older", "waspi"]
    status, text = _told(root, ["sh", "-c", PIP, "sh", *older])
    shutil.rmtree(root / "wheelhouse")
    _expect("Python 3.10", status, 1, text, "No matching distribution found for waspi")


def _no_seccomp(root: Path) -> None:
    (root / "root/waspi.toml").write_text(CONFIGURATION)
    status, text = _told(root, ["waspi", "agent", "--config", "/root/waspi.toml"])
    _expect("a kernel without seccomp", status, NOT_CONFIGURED, text, "requires seccomp")


def _foreign_module(root: Path) -> None:
    """A memory card that went from one board to another: the module is there, for another processor."""
    package = next((root / "opt/waspi/lib").glob("python3.*")) / "site-packages/waspi"
    module = next(package.glob("_wasmer*.so"))
    kept = module.read_bytes()
    shutil.copyfile(next((cache.CHECKOUT / "agent/waspi").glob("_wasmer*.so")), module)
    try:
        status, text = _told(root, ["waspi", "--version"])
    finally:
        module.write_bytes(kept)
    _expect("another processor's module", status, NOT_USABLE, text, "the native module does not load")


def _told(root: Path, command: list[str]) -> tuple[int, str]:
    done = subprocess.run(inside(root, command), capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def _expect(what: str, status: int, wanted: int, text: str, reason: str) -> None:
    lines = [line for line in text.splitlines() if reason in line]
    if status != wanted or len(lines) != 1:
        raise Failure(f"{what}: status {status}, not {wanted}; the reason stands {len(lines)} times in:\n{text}")
    print(f"[refuse] {what}: {lines[0]}", flush=True)
