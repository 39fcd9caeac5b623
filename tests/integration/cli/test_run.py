from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.cli import guest
from tests.integration.cli.command import start, waspi
from waspi import _wasmer

INPUT = "The input string"
OUTPUT = b"The input string<---- This is your string"


def test_output_alone_is_on_stdout(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.APPEND), INPUT, home=tmp_path)
    assert (done.code, done.out, done.err) == (0, OUTPUT, "")


def test_input_comes_from_a_file_or_a_pipe_byte_for_byte(tmp_path: Path) -> None:
    module = guest.write(tmp_path, guest.APPEND)
    data = bytes(range(256))
    (tmp_path / "data").write_bytes(data)
    expected = data + guest.SUFFIX.encode()
    assert waspi("run", module, "--input-file", str(tmp_path / "data"), home=tmp_path).out == expected
    assert waspi("run", module, "--input-file", "-", home=tmp_path, data=data).out == expected
    assert waspi("run", module, home=tmp_path, data=data).out == expected
    assert waspi("run", module, "", home=tmp_path, data=data).out == guest.SUFFIX.encode()


def test_binary_module_is_told_by_its_magic(tmp_path: Path) -> None:
    binary = tmp_path / "guest"
    binary.write_bytes(_wasmer.wat2wasm(guest.APPEND.encode()))
    assert waspi("run", str(binary), INPUT, home=tmp_path).out == OUTPUT


def test_trace_tells_what_happened_in_memory_on_stderr(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.APPEND), INPUT, "--trace", home=tmp_path)
    assert (done.code, done.out) == (0, OUTPUT)
    assert re.search(r"pointer received +1024 \(0x400\)", done.err)
    assert re.search(r"size received +16 bytes", done.err)
    memory = re.search(r"host memory address +(0x[0-9a-f]+)", done.err)
    buffer = re.search(r"host buffer address +(0x[0-9a-f]+)", done.err)
    assert memory
    assert buffer
    assert int(buffer[1], 16) - int(memory[1], 16) == 1024
    assert re.search(r"new size +41 bytes", done.err)
    assert re.search(r"result +'The input string<---- This is your string'", done.err)


def test_json_holds_output_usage_and_trace(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.APPEND), INPUT, "--json", "--trace", home=tmp_path)
    document = done.document
    assert done.code == 0
    assert document["output"] == OUTPUT.decode()
    assert document["fuel"] > 0
    assert document["trace"]["pointer"] == 1024


def test_json_of_a_failure_names_fault_and_kind(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.APPEND), "x", "--entry", "trap", "--json", home=tmp_path)
    document = done.document
    assert done.code == 1
    assert document["error"]["fault"] == "guest"
    assert document["error"]["kind"] == "unreachable"
    assert done.error_line.startswith("waspi: guest: ")


def test_guest_log_goes_to_stderr(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.LOGS), "x", home=tmp_path)
    assert (done.code, done.out, done.err) == (0, b"x", "hello\n")


def test_limits_bite(tmp_path: Path) -> None:
    module = guest.write(tmp_path, guest.APPEND)
    fuel = waspi("run", module, "x", "--entry", "forever", "--fuel", "1000", home=tmp_path)
    assert fuel.code == 1
    assert "fuel" in fuel.error_line
    late = waspi("run", module, "x", "--entry", "forever", "--time-limit", "50ms", home=tmp_path)
    assert late.code == 1
    assert "50 ms" in late.error_line


def test_abi_description_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "abi.toml").write_text('[abi]\nentry = "shout"\nheadroom = 40\n')
    module = guest.write(tmp_path, guest.APPEND.replace('(export "append")', '(export "shout")'))
    assert waspi("run", module, INPUT, "--abi", str(tmp_path / "abi.toml"), home=tmp_path).out == OUTPUT


def test_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    process = start("run", guest.write(tmp_path, guest.APPEND), "x" * 60_000, home=tmp_path)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(120) == 141


def test_inspect_shows_what_a_module_is(tmp_path: Path) -> None:
    done = waspi("inspect", guest.write(tmp_path, guest.APPEND), home=tmp_path)
    assert done.code == 0
    assert "append: func (i32, i32) -> i32" in done.text
    assert "verdict   accepted" in done.text
    document = waspi("inspect", guest.write(tmp_path, guest.APPEND), "--json", home=tmp_path).document
    assert document["accepted"] is True
    assert document["artifact_bytes"] > document["stripped_bytes"]


def test_inspect_says_why_a_module_would_be_refused(tmp_path: Path) -> None:
    done = waspi("inspect", guest.write(tmp_path, guest.NO_ALLOC), "--json", home=tmp_path)
    document = done.document
    assert done.code == 1
    assert document["refused"]["kind"] == "missing-export"
    assert document["exports"]


def test_bench_gives_figures_for_warm_and_fresh(tmp_path: Path) -> None:
    module = guest.write(tmp_path, guest.APPEND)
    document = waspi("bench", module, INPUT, "--seconds", "0.05", "--json", home=tmp_path).document
    for kind in ("warm", "fresh"):
        assert document[kind]["calls"] > 0
        assert document[kind]["p50_us"] <= document[kind]["p99_us"] <= document[kind]["max_us"]
    assert "calls/s" in waspi("bench", module, INPUT, "--seconds", "0.05", home=tmp_path).text


def test_version_names_engine_and_processor(tmp_path: Path) -> None:
    done = waspi("--version", home=tmp_path)
    assert done.code == 0
    assert _wasmer.ENGINE in done.text
    assert _wasmer.TARGET in done.text


@pytest.mark.parametrize(
    ("closed", "module", "code", "out"),
    [
        ("2>&-", "MODULE", 0, OUTPUT),
        ("2>&-", "/nowhere.wasm", 2, b""),
        ("<&-", "MODULE", 0, OUTPUT),
        ("0<&- 1>&- 2>&-", "MODULE", 4, b""),  # nobody gets the output: that is no success
    ],
)
def test_standard_streams_that_came_closed(tmp_path: Path, closed: str, module: str, code: int, out: bytes) -> None:
    module = guest.write(tmp_path, guest.APPEND) if module == "MODULE" else module
    done = waspi("run", module, INPUT, home=tmp_path, within=["sh", "-c", f'exec "$0" "$@" {closed}'])
    assert (done.code, done.out) == (code, out), done.err
    assert done.err == ""


def test_no_input_because_there_is_none(tmp_path: Path) -> None:
    done = waspi("run", guest.write(tmp_path, guest.APPEND), home=tmp_path, within=["sh", "-c", 'exec "$0" "$@" <&-'])
    assert (done.code, done.out) == (0, b"<---- This is your string"), done.err


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        (">&-", 4, "standard output is closed"),
        (">/dev/full", 4, "No space left on device"),
    ],
)
@pytest.mark.parametrize("command", ["run", "--help"])
def test_lost_output_is_no_success(tmp_path: Path, command: str, where: str, code: int, said: str) -> None:
    arguments = ("run", guest.write(tmp_path, guest.APPEND), INPUT) if command == "run" else ("--help",)
    done = waspi(*arguments, home=tmp_path, within=["sh", "-c", f'exec "$0" "$@" {where}'])
    assert (done.code, len(done.err.splitlines())) == (code, 1)
    assert said in done.err or command == "--help"
    assert done.err.startswith("waspi: device: ")


@pytest.mark.parametrize("arguments", [("--help",), ("push", "--help"), ("config", "example")])
def test_a_reader_that_goes_early_ends_a_command_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script = 'set -o pipefail; "$0" "$@" | (exec <&-); exit "${PIPESTATUS[0]}"'
    done = waspi(*arguments, home=tmp_path, within=["bash", "-c", script])
    assert (done.code, done.err) == (141, "")
