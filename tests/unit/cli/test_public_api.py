from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import waspi
from tests.integration.cli import guest
from tests.integration.cli.command import ROOT, environment

INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


def test_run_takes_text_bytes_files_and_modules(tmp_path: Path) -> None:
    file = tmp_path / "append.wat"
    file.write_text(guest.APPEND)
    module = waspi.Module.compile(guest.APPEND)
    for source in (guest.APPEND, file, module):
        assert waspi.run(source, INPUT).output == OUTPUT
    for data in (INPUT, bytearray(INPUT), memoryview(INPUT)):
        assert module.run(data).output == OUTPUT


def test_module_is_serialized_and_loaded_again() -> None:
    with waspi.Module.compile(guest.APPEND) as module, waspi.Module.load(module.serialize()) as again:
        assert again.run(INPUT).output == OUTPUT
        assert ("memory", "memory 1..") in module.exports
        assert module.imports == []
        assert len(module.sha256) == 64


def test_instance_keeps_guest_state_between_calls() -> None:
    with waspi.Module.compile(guest.APPEND) as module, module.instantiate(trace=True) as instance:
        pointers = [(instance.run(INPUT).trace or {})["pointer"] for _ in range(2)]
    assert pointers == [1024, 1024 + len(INPUT) + 30]


def test_closed_means_closed() -> None:
    module = waspi.Module.compile(guest.APPEND)
    instance = module.instantiate()
    module.close()
    assert instance.run(INPUT).output == OUTPUT
    instance.close()
    with pytest.raises(waspi.errors.UsageError, match="closed"):
        instance.run(INPUT)
    with pytest.raises(waspi.errors.UsageError, match="closed"):
        module.run(INPUT)


def test_abi_from_mapping_and_limits() -> None:
    shout = guest.APPEND.replace('(export "append")', '(export "shout")')
    assert waspi.run(shout, INPUT, abi={"entry": "shout"}).output == OUTPUT
    with pytest.raises(waspi.errors.FuelLimitError):
        waspi.run(guest.APPEND, INPUT, abi=waspi.Abi(entry="forever"), limits=waspi.Limits(fuel=10_000))
    with pytest.raises(waspi.errors.MissingExportError):
        waspi.Module.compile(guest.APPEND).check_abi({"entry": "nope"})


def test_canceller_stops_a_run() -> None:
    canceller = waspi.Canceller()
    canceller.cancel()
    with pytest.raises(waspi.errors.CanceledError):
        waspi.run(guest.APPEND, INPUT, abi={"entry": "forever"}, canceller=canceller)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        waspi.nonsense  # noqa: B018 - the access is the test
    assert set(waspi.__all__) == set(dir(waspi))
    assert all(getattr(waspi, name) is not None for name in waspi.__all__)


def test_version_is_the_projects() -> None:
    crate = tomllib.loads((ROOT / "agent" / "native" / "Cargo.toml").read_text())["package"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert waspi.__version__ == crate["version"]
    assert project["dynamic"] == ["version"]
    assert (ROOT / "agent" / "waspi" / "py.typed").exists()


def loaded_after(statement: str, home: Path) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(home), check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import waspi", "import waspi.__main__", "import waspi.device.config"])
def test_importing_the_agents_parts_loads_neither_engine_nor_command_line(statement: str, tmp_path: Path) -> None:
    loaded = loaded_after(statement, tmp_path)
    assert "waspi" in loaded
    assert not loaded & {"waspi._wasmer", "waspi.engine", "waspi.cli", "waspi.fleet", "typer", "rich", "cryptography"}


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (waspi.Limits(fuel=-1), "fuel cannot be -1"),
        (waspi.Limits(fuel=1, time_ms=2**70), f"time_ms cannot be {2**70}"),
        (waspi.Limits(fuel=2**70, output_bytes=5), f"fuel cannot be {2**70}"),
    ],
)
def test_limits_that_are_no_numbers_of_the_engine_are_wrong_use(limits: waspi.Limits, named: str) -> None:
    with waspi.Module.compile(guest.APPEND) as module:
        with pytest.raises(waspi.errors.UsageError, match=re.escape(named)):
            module.run(INPUT, limits=limits)
        with pytest.raises(waspi.errors.UsageError, match=re.escape(named)):
            module.instantiate(limits=limits)


def test_a_file_by_its_bare_name_is_told_from_text() -> None:
    with pytest.raises(waspi.errors.UsageError, match=r"pathlib\.Path"):
        waspi.run("append.wasm", INPUT)
