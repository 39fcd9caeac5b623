from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.cli.command import ROOT, environment
from waspi import errors, extras
from waspi.cli.app import COMMANDS, app
from waspi.cli.exit_code import ExitCode, exit_code_of

RUN_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "rich"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from waspi.__main__ import main
code = main(sys.argv[1:])
loaded = sorted(name for name in sys.modules if name.startswith(("waspi.cli", "waspi.fleet")) and name != "waspi.cli")
print("loaded", *loaded)
sys.exit(code)
"""


def without_command_line(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT, *arguments],
        capture_output=True,
        text=True,
        env=environment(home),
        check=False,
    )


def test_without_typer_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = without_command_line(tmp_path, "run", "x.wasm")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        (
            "waspi: operator: the command line is for the operator's machine, and not installed here (waspi agent "
            f"works without); install what is missing with: {sys.executable} -m pip install typer rich cryptography "
            "watchfiles"
        )
    ]


def test_what_messages_name_is_what_the_extras_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra: tuple(re.split("[<>=]", requirement)[0] for requirement in requirements)
        for extra, requirements in project["optional-dependencies"].items()
    }
    assert named == extras.PACKAGES


def test_no_message_names_an_index_that_has_no_waspi() -> None:
    """A line that is printed has to work as it stands."""
    advice = re.compile(r"pip install [^`\n]*\bwaspi\b")
    for path in (ROOT / "agent").rglob("*.py"):
        assert not advice.search(path.read_text()), path


def test_version_and_agent_need_no_command_line(tmp_path: Path) -> None:
    version = without_command_line(tmp_path, "--version")
    assert version.returncode == 0
    assert version.stdout.startswith("waspi ")
    agent = without_command_line(tmp_path, "agent", "--config", "/nowhere/waspi.toml")
    assert agent.returncode not in {0, 1}
    assert "/nowhere/waspi.toml" in agent.stderr
    assert "loaded\n" in agent.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    runner = CliRunner()
    result = runner.invoke(app, [command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    below = [each.name or each.callback.__name__ for each in import_module(COMMANDS[command]).app.registered_commands]
    below = below if len(below) > 1 or command in {"broker", "golden", "fleet"} else []
    shown = [result.output, *(runner.invoke(app, [command, name, "--help"]).output for name in below)]
    assert all("Examples:" in text for text in (shown[1:] or shown)), command


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert all(f" {command} " in output for command in COMMANDS)


def every_error(kind: type[errors.WaspiError] = errors.WaspiError) -> list[type[errors.WaspiError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in every_error(below))]


def test_every_error_has_an_exit_code_of_its_party() -> None:
    for kind in every_error():
        code = exit_code_of(kind("x"))
        assert code not in {ExitCode.OK, ExitCode.INTERRUPTED}
    assert exit_code_of(errors.UnreachableBrokerError("x")) is ExitCode.BROKER
    assert exit_code_of(errors.ConfigError("x")) is ExitCode.USAGE
    assert exit_code_of(errors.TopicError("x")) is ExitCode.USAGE
    assert exit_code_of(errors.FuelLimitError("x")) is ExitCode.JOB_FAILED
    assert exit_code_of(errors.StorageError("x")) is ExitCode.DEVICE
