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
from waspi.errors import Fault
from waspi.fleet.module_source import module_from
from waspi.model.module import InlineModule
from waspi.model.result import JobError, Result
from waspi.model.state import JobState

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
    with pytest.raises(waspi.errors.OperatorError, match=r"cannot read the module append\.wasm"):
        waspi.run("append.wasm", INPUT)


def test_text_names_a_module_alike_in_run_and_in_the_clients_jobs(tmp_path: Path) -> None:
    file = tmp_path / "append.wat"
    file.write_text(guest.APPEND)
    for source in (guest.APPEND, str(file), file, file.read_text()):
        assert waspi.run(source, INPUT).output == OUTPUT
        assert module_from(source) == module_from(file)
    for name in ("append", "append@1.0.0", "sha256:" + "ab" * 32):
        assert not isinstance(module_from(name), InlineModule)
        with pytest.raises(waspi.errors.UsageError, match="deployed on a device"):
            waspi.run(name, INPUT)


def test_the_root_of_all_errors_stands_at_the_root() -> None:
    assert waspi.WaspiError is waspi.errors.WaspiError
    with pytest.raises(waspi.WaspiError):
        waspi.run(b"no module", INPUT)


def result(state: JobState, error: JobError | None = None, **more: object) -> Result:
    return Result("j-1", "pi-7", state, () if error else (OUTPUT,), error=error, **more)  # type: ignore[arg-type]


def test_a_result_gives_its_output_or_raises_what_the_device_met() -> None:
    done = result(JobState.SUCCEEDED)
    assert done.output == OUTPUT
    assert done.raise_for_state() is done
    failed = result(JobState.TIMED_OUT, JobError(Fault.GUEST, "time-limit", "too slow", "loop", 7), log=b"said")
    with pytest.raises(waspi.errors.TimeLimitError, match="job j-1 on pi-7: TIMED_OUT: too slow") as raised:
        _ = failed.output
    assert (raised.value.function, raised.value.offset, raised.value.log) == ("loop", 7, b"said")
    with pytest.raises(waspi.errors.UsageError, match="outputs"):
        _ = result(JobState.SUCCEEDED, batch=True).output


@pytest.mark.parametrize("fault", list(Fault))
def test_an_error_of_a_newer_device_is_the_root_of_its_fault(fault: Fault) -> None:
    with pytest.raises(waspi.WaspiError) as raised:
        result(JobState.FAILED, JobError(fault, "of-tomorrow", "x")).raise_for_state()
    assert (raised.value.fault, raised.value.kind) == (fault, "of-tomorrow")
    canceled = JobError(Fault.PUBLISHER, "canceled", "x")
    with pytest.raises(waspi.errors.CanceledError):
        result(JobState.CANCELED, canceled).raise_for_state()
