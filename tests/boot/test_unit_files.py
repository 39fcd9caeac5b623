"""The unit files as systemd's own tools read them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
DROP_INS = sorted((ROOT / "systemd" / "drop-ins").glob("*.conf"))
# systemd 254 and later; bookworm's 252 says so and goes on.
NEW_KEYS = ("RestartSteps", "RestartMaxDelaySec")
EXPOSURE_PERCENT = 20

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Linux with systemd)"
)


def _installed(unit: Path, folder: Path) -> Path:
    """The unit with a program that exists here, since the package is not installed."""
    file = folder / unit.name
    file.write_text(unit.read_text().replace("/usr/lib/waspi/bin/waspi", "/usr/bin/true"))
    return file


def _complaints(file: Path) -> list[str]:
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if file.name.partition(".")[0] in line]
    return [line for line in lines if not ("Unknown key" in line and any(key in line for key in NEW_KEYS))]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_verify_has_no_complaint(unit: Path, tmp_path: Path) -> None:
    assert _complaints(_installed(unit, tmp_path)) == []


def test_verify_does_see_mistakes(tmp_path: Path) -> None:
    file = _installed(UNITS[0], tmp_path)
    file.write_text(file.read_text().replace("ProtectSystem=strict", "ProtectSystme=strict"))
    assert any("ProtectSystme" in line for line in _complaints(file))


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda drop_in: drop_in.name)
def test_drop_ins_are_understood(drop_in: Path, tmp_path: Path) -> None:
    file = _installed(ROOT / "systemd" / "waspi.service", tmp_path)
    folder = tmp_path / "waspi.service.d"
    folder.mkdir()
    shutil.copy(drop_in, folder)
    assert _complaints(file) == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_is_low(unit: Path, tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_PERCENT}", "--no-pager"]
    done = subprocess.run([*command, _installed(unit, tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_that_nothing_else_would_miss() -> None:
    """What ``verify`` and ``security`` do not ask for, and a board in the field needs."""
    lines = set((ROOT / "systemd" / "waspi.service").read_text().splitlines())
    wanted = {
        "Type=notify", "WatchdogSec=30", "Restart=always", "StartLimitIntervalSec=0", "OOMPolicy=continue",
        "KillMode=mixed", "DynamicUser=yes", "StateDirectory=waspi", "LoadCredential=waspi:/etc/waspi/credentials",
    }  # fmt: skip
    assert wanted - lines == set(), json.dumps(sorted(wanted - lines))
