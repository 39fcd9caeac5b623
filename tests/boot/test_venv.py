"""`.ci/venv` makes .venv whatever environment is active and whatever became of an earlier one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("ensurepip", reason="a board has no python3-venv, and is not where waspi is built")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs no packages."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.lock").write_text("")
    return project


def make(project: Path, **env: str) -> str:
    base = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        [ROOT / ".ci" / "venv"], cwd=project, env={**base, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    look = "import sys; print(sys.prefix, sys.base_prefix)"
    found = subprocess.run([project / ".venv/bin/python", "-c", look], capture_output=True, text=True, check=True)
    prefix, base_prefix = found.stdout.split()
    assert Path(prefix) == project / ".venv"
    assert Path(base_prefix) == Path(sys.base_prefix)
    return done.stdout


def test_with_another_environment_active_and_after_that_one_has_gone(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    path = f"{other}/bin:{os.environ['PATH']}"
    assert "making .venv" in make(project, PATH=path, VIRTUAL_ENV=str(other), PYTHONPATH="/nowhere", PIP_USER="1")
    assert "making .venv" not in make(project)
    home = (project / ".venv/pyvenv.cfg").read_text()
    assert str(other) not in home


def test_an_environment_of_a_python_that_has_changed_is_made_anew(project: Path) -> None:
    folder = project / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to("/usr/bin/python3.0")
    (folder / "lib/python3.0").mkdir(parents=True)
    (folder / "lock").write_text("of another day")
    assert "making .venv" in make(project)
    assert not (folder / "lib/python3.0").exists()
