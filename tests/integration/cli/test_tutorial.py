"""docs/TUTORIAL.md, run as it stands: every command of every ``sh`` block in one shell, ``#=>`` is what has to come."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waspi.cli.app import COMMANDS, app

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "TUTORIAL.md"
LONG_S = 240


def blocks(page: Path = PAGE) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))


def alone() -> list[str]:
    """What gives a program a network of its own. Where it is not allowed: nothing, and the ports have to be free."""
    prefix = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    return prefix if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0 else []


@pytest.mark.skipif(shutil.which("clang") is None, reason="a board has no compiler; where waspi is built there is one")
def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    script = blocks()
    work = tmp_path / "first"
    work.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WASPI_", "XDG_"))}
    environment = {
        **kept,
        "HOME": str(tmp_path),
        "PATH": f"{ROOT}/.venv/bin:{kept['PATH']}",
        "PYTHONPATH": str(ROOT / "agent"),
        "GUESTS": str(ROOT / "build" / "guests"),
    }
    with (tmp_path / "said").open("wb") as said, (tmp_path / "log").open("wb") as log:
        shell = subprocess.Popen(
            [*alone(), "bash", "-eu", "-c", f"set -o pipefail\n{script}"],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = shell.wait(LONG_S)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    out = (tmp_path / "said").read_text()
    assert code == 0, f"exit code {code}\n--- stdout\n{out}\n--- stderr\n{(tmp_path / 'log').read_text()[-6000:]}"
    at = 0
    for line in re.findall(r"^#=> (.*)$", script, re.MULTILINE):
        at = out.find(line, at)
        assert at >= 0, f"not printed, or not in its turn: {line}\n{out}"


def test_the_readmes_first_answer_is_the_tutorials() -> None:
    """So that it is run, too."""
    own = (ROOT / "README.md").read_text().partition("## The first answer")[2].partition("\n## ")[0]
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", own, re.MULTILINE | re.DOTALL)
    first = PAGE.read_text().partition("## The first answer")[2].partition("\n## ")[0]
    told = "".join(re.findall(r"^```sh\n(.*?)^```$", first, re.MULTILINE | re.DOTALL))
    assert commands == told.replace("#=> The input string<---- This is your string\n", "")


@pytest.mark.parametrize("page", ["README.md", "docs/TUTORIAL.md"])
def test_every_command_that_a_page_names_exists(page: str) -> None:
    """And every option: what was renamed is renamed on the pages, too."""
    text = (ROOT / page).read_text()
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    code = re.sub(r"(?m)(^|\s)#.*$", "", code)
    found = re.findall(r"(?:^|[ (/])waspi ([a-z][a-z-]+)((?: [^\n|&;#]*)?)", code, re.MULTILINE)
    assert len(found) > 8
    for command, rest in found:
        assert command in COMMANDS, f"{page}: waspi {command}{rest}"
        words = rest.split()
        below = [words[0]] if words and re.fullmatch(r"[a-z][a-z-]*", words[0]) else []
        help_text = CliRunner().invoke(app, [command, *below, "--help"], env={"COLUMNS": "200"}).output
        for option in re.findall(r"(?<= )--[a-z-]+", rest):
            assert option in help_text, f"{page}: waspi {command} {' '.join(below)} has no {option}"
