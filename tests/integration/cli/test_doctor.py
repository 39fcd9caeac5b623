"""The doctor looks at machines that are not like this one; it must say what it finds on every one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.command import Finished, waspi
from tests.integration.cli.guest import APPEND
from tests.native.syscall_numbers import NUMBERS
from waspi import _wasmer
from waspi.cli.config_example import example
from waspi.cli.doctor.finding import Area, Finding, Level, exit_code_of, look
from waspi.cli.doctor.machine import clock
from waspi.cli.exit_code import ExitCode
from waspi.device.clock import Clock
from waspi.errors import StorageError
from waspi.journal.journal import Journal

PARTS = {"clock", "disk", "memory cgroup", "sandbox: seccomp", "sandbox: landlock"}

# A kernel, or a sandbox around, that answers ENOSYS to what is asked: seccomp on this process, then the real program.
WITHOUT = """
import ctypes, os, struct, sys
calls = [int(each) for each in sys.argv[1].split(",")]
program = [(0x20, 0, 0, 0)]
for call in calls:
    program += [(0x15, 0, 1, call), (0x06, 0, 0, 0x00050000 | 38)]
program.append((0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, head):
    sys.exit("no seccomp here")
os.execv(sys.argv[2], sys.argv[2:])
"""
STATFS = {"x86_64": "137,138", "aarch64": "43,44"}


def findings_of(done: Finished) -> dict[str, dict[str, Any]]:
    assert "Traceback" not in done.err
    return {each["what"]: each for each in done.document["findings"]}


def namespace(*words: str) -> list[str]:
    """``unshare`` with these words; skips the test where it is not allowed."""
    prefix = ["unshare", *words]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip(f"{' '.join(prefix)} is not allowed here")
    return prefix


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "dumb", "COLUMNS": "8"},
        {"PYTHONIOENCODING": "ascii:strict", "HOME": "/nowhere", "XDG_CONFIG_HOME": ""},
        {"HOME": "/dev/null", "XDG_CONFIG_HOME": ""},
    ],
    ids=["no-locale", "ascii", "no-home"],
)
def test_odd_environments(tmp_path: Path, env: dict[str, str]) -> None:
    done = waspi("doctor", "--json", home=tmp_path, env=env)
    assert done.code in {ExitCode.OK, ExitCode.DEVICE}
    assert set(findings_of(done)) >= PARTS


@pytest.mark.parametrize("folder", ["/sys", "/proc"])
def test_without_the_kernels_file_systems(tmp_path: Path, folder: str) -> None:
    hide = [*namespace("--mount"), "sh", "-c", f'mount -t tmpfs none {folder} && exec "$0" "$@"']
    if subprocess.run([*hide, sys.executable, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip(f"nothing may be mounted here, or the interpreter (an emulator?) needs {folder}")
    found = findings_of(waspi("doctor", "--json", home=tmp_path, within=hide))
    assert set(found) >= PARTS
    if folder == "/sys":
        assert "cannot tell" in found["memory cgroup"]["found"]


def test_without_a_network(tmp_path: Path) -> None:
    broker = ["--broker", "mqtt://127.0.0.1"]
    done = waspi("doctor", "--json", *broker, home=tmp_path, within=namespace("--net"))
    found = findings_of(done)
    assert set(found) >= PARTS
    assert done.code == ExitCode.BROKER
    assert found["reachable"]["level"] == "fail"
    assert "cannot connect" in found["reachable"]["found"]


def test_an_old_kernel(tmp_path: Path) -> None:
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    if machine not in STATFS or "seccomp" not in NUMBERS:
        pytest.skip(f"no numbers of system calls for {machine}")
    lacking = f"{STATFS[machine]},444,{NUMBERS['seccomp']}"
    without = [sys.executable, "-c", WITHOUT, lacking]
    if subprocess.run([*without, "/bin/true"], check=False, capture_output=True).returncode:
        pytest.skip("no seccomp here")
    found = findings_of(waspi("doctor", "--json", home=tmp_path, within=without))
    assert set(found) >= PARTS
    assert found["disk"]["found"].startswith("could not look: OSError")
    assert {found[f"sandbox: {part}"]["level"] for part in ("landlock", "seccomp")} == {"warn"}


def test_a_broken_profile_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "waspi").mkdir()
    (tmp_path / "waspi" / "profiles.toml").write_text("colour = 1\n")
    done = waspi("doctor", "--json", home=tmp_path)
    found = findings_of(done)
    assert set(found) >= PARTS
    assert done.code == ExitCode.USAGE
    assert "colour" in found["broker"]["found"]


def test_text_is_the_same_report(tmp_path: Path) -> None:
    lines = waspi("doctor", home=tmp_path).text.splitlines()
    assert [line for line in lines if " device: clock: " in line]
    assert all(line.startswith(("ok ", "warn ", "fail ", "      -> ")) for line in lines)


def test_a_look_that_fails_is_a_finding_beside_what_it_found() -> None:
    def fails(error: Exception) -> list[Finding]:
        raise error

    (unforeseen,) = look(Area.DEVICE, "disk", partial(fails, RuntimeError("no such thing")))
    assert (unforeseen.level, unforeseen.found) == (Level.WARN, "could not look: RuntimeError: no such thing")
    (known,) = look(Area.DEVICE, "disk", partial(fails, StorageError("the disk is gone")))
    assert (known.level, known.found) == (Level.FAIL, "the disk is gone")
    assert exit_code_of([unforeseen]) is ExitCode.OK
    assert exit_code_of([unforeseen, known]) is ExitCode.DEVICE


def test_a_clock_that_was_never_set_fails() -> None:
    found = clock(Clock(wall=lambda: 0.0))
    assert (found.level, found.what) == (Level.FAIL, "clock")
    assert "long passed" in found.found


def test_the_journal_is_looked_through(tmp_path: Path) -> None:
    config = tmp_path / "waspi.toml"
    config.write_text(f'[device]\nid = "pi-1"\nstate_dir = "{tmp_path}"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n')
    file = tmp_path / "journal.db"
    Journal.open(file).close()
    told = findings_of(waspi("doctor", "--json", "--config", str(config), home=tmp_path))
    assert (told["journal"]["level"], told["reachable"]["level"]) == ("ok", "fail")
    content = bytearray(file.read_bytes())
    content[1024:4096] = bytes(3072)
    file.write_bytes(content)
    done = waspi("doctor", "--json", "--config", str(config), home=tmp_path)
    assert findings_of(done)["journal"]["level"] == "fail"


def test_modules_that_are_not_there_fail(tmp_path: Path) -> None:
    config = tmp_path / "waspi.toml"
    (tmp_path / "a.wat").write_text("(module)")
    config.write_text(
        f'[device]\nid = "pi-1"\nstate_dir = "{tmp_path}"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n'
        '[modules.a]\npath = "a.wat"\n'
    )
    done = waspi("doctor", "--json", "--config", str(config), home=tmp_path)
    assert "wat2wasm" in findings_of(done)["modules"]["found"]
    assert done.code == ExitCode.USAGE
    checked = waspi("config", "check", str(config), home=tmp_path)
    assert checked.code == ExitCode.USAGE
    assert "modules.a.path" in checked.error_line
    config.write_text(config.read_text().replace("a.wat", "nothing.wasm"))
    assert "cannot read" in waspi("config", "check", str(config), home=tmp_path).error_line
    config.write_text(f'[broker]\nurl = "mqtts://h"\n[broker.tls]\nca = "{tmp_path}/ca.crt"\n')
    checked = waspi("config", "check", str(config), home=tmp_path)
    assert f"broker.tls.ca: cannot read {tmp_path}/ca.crt" in checked.error_line
    updates = f'[updates]\nroot = "{config}"\nurl = "https://h"\nca = "{tmp_path}/web.crt"\n'
    config.write_text(f'[broker]\nurl = "mqtt://h"\n{updates}')
    checked = waspi("config", "check", str(config), home=tmp_path)
    assert f"updates.ca: cannot read {tmp_path}/web.crt" in checked.error_line


@pytest.mark.parametrize(
    ("broker", "found"),
    [
        ('password = "sesame"', "broker.password holds a password"),
        ('url = "mqtt://pi-7:sesame@127.0.0.1:1"', "broker.url holds a password"),
    ],
)
def test_a_password_in_the_configuration_is_found_whatever_else_it_says(
    tmp_path: Path, broker: str, found: str
) -> None:
    """Files that began as `waspi config example` speak of password_file in a comment."""
    key = broker.partition(" = ")[0]
    lines = example().replace("127.0.0.1:1883", "127.0.0.1:1").splitlines()
    lines[next(at for at, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{key} = "))] = broker
    config = tmp_path / "device.toml"
    config.write_text("\n".join(lines))
    config.chmod(0o644)
    secrets = [each for each in _doctor(tmp_path, config) if each["what"] == "secrets"]
    assert [each["level"] for each in secrets] == ["warn", "fail"]
    assert secrets[0]["found"].startswith(found)
    assert secrets[1]["found"] == f"everybody may read {config}"
    assert "sesame" not in str(secrets)
    config.chmod(0o600)
    assert [each["level"] for each in _doctor(tmp_path, config) if each["what"] == "secrets"] == ["warn"]


def test_files_that_everybody_may_write_are_found(tmp_path: Path) -> None:
    config, module = tmp_path / "device.toml", tmp_path / "append.wasm"
    module.write_bytes(_wasmer.wat2wasm(APPEND.encode()))
    config.write_text('[broker]\nurl = "mqtt://127.0.0.1:1"\n[modules.append]\npath = "append.wasm"\n')
    for path in (config, module):
        path.chmod(0o666)
    found = [each["found"] for each in _doctor(tmp_path, config) if each["what"] == "files"]
    assert found == [f"everybody may write {config}", f"everybody may write {module}"]


def test_a_state_folder_that_others_may_write_is_found_and_the_agent_refuses_it(tmp_path: Path) -> None:
    config, state = tmp_path / "device.toml", tmp_path / "state"
    config.write_text(f'[device]\nstate_dir = "{state}"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n')
    state.mkdir()
    state.chmod(0o777)
    assert [each["found"] for each in _doctor(tmp_path, config) if each["what"] == "state folder"] == [
        f"others may write {state}"
    ]
    refused = waspi("agent", "--config", str(config), home=tmp_path)
    assert (refused.code, f"others may write {state}" in refused.err) == (78, True)
    state.chmod(0o700)
    assert [each for each in _doctor(tmp_path, config) if each["what"] == "state folder"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    config, state = tmp_path / "device.toml", tmp_path / "state"
    config.write_text(f'[device]\nstate_dir = "{state}"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n')
    state.mkdir(mode=0o700)
    os.chown(state, 65534, -1)
    refused = waspi("agent", "--config", str(config), home=tmp_path)
    assert (refused.code, f"{state} belongs to user 65534" in refused.err) == (78, True)
    (state / "journal.db").touch()
    found = [each["found"] for each in _doctor(tmp_path, config) if each["what"] == "state folder"]
    assert found == [f"{state}/journal.db belongs to user 0, not to user 65534"]


def _doctor(home: Path, config: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = waspi("doctor", "--config", str(config), "--json", home=home).document["findings"]
    return found
