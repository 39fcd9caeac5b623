"""Every wrong input ends in one clear line that names the party at fault, and in the documented exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli import guest
from tests.integration.cli.command import waspi
from tests.simulators.mosquitto import Mosquitto, free_port
from waspi import _wasmer

MODULES = {
    "not wasm": (b"This is no module, it is prose.", "guest", "WebAssembly"),
    "empty": (b"", "guest", "WebAssembly"),
    "truncated": (_wasmer.wat2wasm(guest.APPEND.encode())[:60], "guest", ""),
    "missing export": (_wasmer.wat2wasm(guest.NO_ALLOC.encode()), "guest", "alloc"),
    "unknown import": (_wasmer.wat2wasm(guest.UNKNOWN_IMPORT.encode()), "guest", "launch_missiles"),
}


@pytest.mark.parametrize("command", ["run", "inspect", "bench"])
@pytest.mark.parametrize("case", MODULES)
def test_bad_module(tmp_path: Path, case: str, command: str) -> None:
    content, party, named = MODULES[case]
    module = tmp_path / "bad.wasm"
    module.write_bytes(content)
    done = waspi(command, str(module), *(["x"] if command != "inspect" else []), home=tmp_path)
    assert done.code == 1
    assert done.error_line.startswith(f"waspi: {party}: ")
    assert named in done.error_line
    assert command == "inspect" or (done.out == b"" and len(done.err.splitlines()) == 1)


@pytest.mark.parametrize(
    ("arguments", "code", "party", "named"),
    [
        (["run", "/nowhere/a.wasm", "x"], 2, "operator", "/nowhere/a.wasm"),
        (["run", "MODULE", "x", "--entry", "wrong"], 1, "guest", "wrong"),
        (["run", "MODULE", "x", "--entry", "nope"], 1, "guest", "nope"),
        (["run", "MODULE", "x", "--input-file", "y"], 2, "operator", "exclude"),
        (["run", "MODULE", "--input-file", "/nowhere/data"], 2, "operator", "/nowhere/data"),
        (["run", "MODULE", "x", "--fuel", "many"], 2, "operator", "--fuel"),
        (["run", "MODULE", "x", "--no-such-option"], 2, "operator", "--no-such-option"),
        (["run", "MODULE", "x", "--abi", "BADABI"], 2, "operator", "'hedroom'"),
        (["run"], 2, "operator", "MODULE"),
        (["rum"], 2, "operator", "rum"),
        (["push", "--device", "pi-7", "MODULE", "x"], 2, "operator", "WASPI_BROKER"),
        (["push", "--broker", "mqtt://h", "MODULE", "x"], 2, "operator", "--device"),
        (["push", "--broker", "http://h", "--device", "a", "MODULE", "x"], 2, "operator", "mqtt://"),
        (["push", "--broker", "UNREACHABLE", "--device", "a", "MODULE", "x"], 3, "broker", "cannot connect"),
        (["push", "--broker", "UNREACHABLE", "--device", "a/b", "MODULE", "x"], 2, "operator", "'a/b'"),
        (["push", "--broker", "UNREACHABLE", "--sign", "nobody", "--device", "a", "m", "x"], 2, "operator", "nobody"),
        (["push", "--broker", "mqtts://h", "--cert", "a", "--device", "a", "m", "x"], 2, "operator", "--key"),
        (["push", "--broker", "UNREACHABLE", "--device", "a", "Bad Name", "x"], 2, "operator", "Bad Name"),
        (["push", "--profile", "nope", "--device", "a", "m", "x"], 2, "operator", "profiles.toml"),
        (["config", "check", "/nowhere/device.toml"], 2, "operator", "/nowhere/device.toml"),
        (["config", "check", "BADCONFIG"], 2, "operator", "colour"),
        (["keys", "show", "nobody"], 2, "operator", "nobody"),
        (["keys", "new", "Not An Id"], 2, "operator", "key id"),
        (["journal", "list", "--state-dir", "/nowhere"], 4, "device", "/nowhere"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], code: int, party: str, named: str) -> None:
    (tmp_path / "abi.toml").write_text("hedroom = 3\n")
    (tmp_path / "device.toml").write_text('colour = "red"\n[broker]\nurl = "mqtt://127.0.0.1"\n')
    files = {
        "MODULE": guest.write(tmp_path, guest.APPEND),
        "BADABI": str(tmp_path / "abi.toml"),
        "BADCONFIG": str(tmp_path / "device.toml"),
        "UNREACHABLE": f"mqtt://127.0.0.1:{free_port()}",
    }
    done = waspi(*[files.get(argument, argument) for argument in arguments], home=tmp_path)
    assert done.error_line.startswith(f"waspi: {party}: "), done.err
    assert named in done.error_line
    assert (done.code, done.out) == (code, b"")


def test_wrong_password(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("")
    extra = f"user root\nallow_anonymous false\npassword_file {tmp_path}/passwords\n"
    with Mosquitto(tmp_path / "broker", extra=extra) as broker:
        url = f"mqtt://me:secret@127.0.0.1:{broker.port}"
        done = waspi("push", "--broker", url, "--device", "pi-7", "append", "x", home=tmp_path)
    assert done.code == 3
    assert done.error_line.startswith("waspi: broker: ")
    assert "password" in done.error_line
    assert "secret" not in done.err


@pytest.mark.parametrize("command", [["--help"], ["push", "--help"]])
def test_a_terminal_that_lacks_characters_gets_escapes(tmp_path: Path, command: list[str]) -> None:
    env = {"PYTHONIOENCODING": "ascii", "COLUMNS": "30", "TERM": "dumb"}
    done = waspi(*command, home=tmp_path, env=env)
    assert done.code == 0, done.err
    assert done.text.isascii()
    assert done.err.isascii()
    assert "Traceback" not in done.err


def test_no_command_shows_the_help(tmp_path: Path) -> None:
    done = waspi(home=tmp_path)
    assert done.code == 2
    assert "inspect" in done.text
    assert done.error_line.startswith("waspi: operator: no command given")
