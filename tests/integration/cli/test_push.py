from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.cli import guest
from tests.integration.cli.command import start, waspi
from tests.simulators.device import SimulatedDevice
from tests.simulators.mosquitto import Mosquitto
from waspi import _wasmer
from waspi.errors import GuestError, UnknownModuleError, WaspiError
from waspi.fleet.key_file import KeyFile
from waspi.model.job import Job
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.protocol.trust import TrustedKey

INPUT = "The input string"
OUTPUT = b"The input string<---- This is your string"


def test_output_alone_is_on_stdout(broker: Mosquitto, tmp_path: Path) -> None:
    module = guest.write(tmp_path, guest.APPEND)
    with SimulatedDevice(broker.url) as device:
        done = waspi("push", "--broker", broker.url, "--device", "pi-7", module, INPUT, home=tmp_path)
    assert (done.code, done.out) == (0, OUTPUT)
    sent = device.seen[0].module
    assert isinstance(sent, InlineModule)
    assert sent.wasm == _wasmer.strip(_wasmer.wat2wasm(guest.APPEND.encode()))


def test_everything_that_a_job_may_say_is_said(broker: Mosquitto, tmp_path: Path) -> None:
    limits_asked = ["--fuel", "7", "--memory-mib", "2", "--time-limit", "9ms", "--output-kib", "3"]
    options = [*limits_asked, "--priority", "-5", "--id", "nightly-1"]
    with SimulatedDevice(broker.url) as device:
        done = waspi(
            *["push", "--device", "pi-7", *options, "--expires-in", "100s", "stats@1.2.0", "--entry", "go"],
            home=tmp_path,
            data=b"\x00\xff",
            env={"WASPI_BROKER": broker.url},
        )
    assert done.code == 0, done.err
    (job,) = device.seen
    limits = job.limits
    assert (job.id, job.inputs, job.module) == ("nightly-1", (b"\x00\xff",), NamedModule("stats", "1.2.0"))
    assert job.priority == -5
    assert (limits.fuel, limits.memory_bytes, limits.time_ms, limits.output_bytes) == (7, 2 << 20, 9, 3072)
    assert job.abi is not None
    assert job.abi.entry == "go"
    assert job.expires_at is not None
    assert 0 < job.expires_at - time.time() <= 100


def test_failed_job_ends_with_1_and_one_line(broker: Mosquitto, tmp_path: Path) -> None:
    with SimulatedDevice(broker.url, behaviour=lambda _: UnknownModuleError("no module nope here")):
        done = waspi("push", "--broker", broker.url, "--device", "pi-7", "nope", "x", "--json", home=tmp_path)
    assert done.code == 1
    assert done.document["error"]["kind"] == "unknown-module"
    assert done.error_line.startswith("waspi: publisher: ")
    assert "no module nope here" in done.error_line


DEEP = """
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $unpack_the_sensor (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0)))
  (func (export "append") (param i32 i32) (result i32) (call $unpack_the_sensor (local.get 0))))
"""


def run(job: Job) -> WaspiError | tuple[bytes, ...]:
    """As a device does."""
    assert isinstance(job.module, InlineModule)
    try:
        return (_wasmer.Module.compile(job.module.wasm).run(job.inputs[0]).output,)
    except WaspiError as error:
        return error


def test_a_place_in_the_stripped_module_is_named_as_in_the_file(broker: Mosquitto, tmp_path: Path) -> None:
    module = guest.write(tmp_path, DEEP)
    wasm = _wasmer.wat2wasm(DEEP.encode()) + bytes([0, 7, 5, *b"later"]) + b"!"
    whole = wasm[:8] + bytes([0, 9, 5, *b"firstxyz"]) + wasm[8:]  # names before and after the code
    Path(module).write_bytes(whole)
    with SimulatedDevice(broker.url, behaviour=run):
        done = waspi("push", "--broker", broker.url, "--device", "pi-7", module, "x", "--json", home=tmp_path)
    error = done.document["error"]
    assert (error["kind"], error["function"]) == ("division-by-zero", "unpack_the_sensor")
    assert whole[error["offset"]] == 0x6E  # i32.div_u
    assert f"in unpack_the_sensor (at byte {error['offset']} of the file)" in error["message"]


def test_no_answer_ends_with_3_and_says_what_is_known(broker: Mosquitto, tmp_path: Path) -> None:
    done = waspi(
        *["push", "--broker", broker.url, "--device", "pi-9", "append", "x", "--timeout", "200ms"], home=tmp_path
    )
    assert (done.code, done.out) == (3, b"")
    assert done.error_line.startswith("waspi: broker: no answer")
    assert "pi-9 never announced itself" in done.error_line


def test_no_wait_prints_the_id_for_a_later_cancel(broker: Mosquitto, tmp_path: Path) -> None:
    digest = "ab" * 32
    with SimulatedDevice(broker.url, behaviour=lambda _: None) as device:
        arguments = ["--broker", broker.url, "--device", "pi-7"]
        done = waspi("push", *arguments, "--no-wait", f"sha256:{digest}", "x", home=tmp_path)
        job = done.text.strip()
        device.wait_until(lambda: len(device.seen) == 1)
        assert (device.seen[0].id, device.seen[0].module) == (job, DigestModule(digest))
        assert waspi("cancel", *arguments, job, home=tmp_path).code == 0
        device.wait_until(lambda: device.cancelled == [job])


def test_group_answers_line_by_line(broker: Mosquitto, tmp_path: Path) -> None:
    bad = GuestError("this one fails")
    with (
        SimulatedDevice(broker.url, "pi-1", groups=("kitchen",)),
        SimulatedDevice(broker.url, "pi-2", groups=("kitchen",), behaviour=lambda _: bad),
    ):
        done = waspi("push", "--broker", broker.url, "--group", "kitchen", "append", INPUT, home=tmp_path)
    assert done.code == 1
    assert sorted(done.text.splitlines()) == [f"pi-1\tSUCCEEDED\t{OUTPUT.decode()}", "pi-2\tFAILED\t"]
    assert "this one fails" in done.error_line


def test_signed_push_with_the_key_of_the_profile(broker: Mosquitto, tmp_path: Path) -> None:
    made = waspi("keys", "new", "ops", home=tmp_path)
    assert made.code == 0
    assert 'id = "ops"' in made.text
    key = KeyFile(id="ops", path=tmp_path / "waspi" / "keys" / "ops.key")
    (tmp_path / "waspi" / "profiles.toml").write_text(
        f'default = "home"\n[profiles.home]\nbroker = "{broker.url}"\nsign = "ops"\n'
    )
    with SimulatedDevice(broker.url, keys={"ops": TrustedKey("ops", key.public_bytes())}) as device:
        done = waspi("push", "--device", "pi-7", "append", INPUT, home=tmp_path)
    assert (done.code, done.out) == (0, OUTPUT), done.err
    assert device.seen[0].audience == "device/pi-7"


def test_ctrl_c_tells_the_jobs_id_and_what_can_be_done(broker: Mosquitto, tmp_path: Path) -> None:
    with SimulatedDevice(broker.url, behaviour=lambda _: None, groups=("attic",)) as device:
        for number, target in enumerate((("--device", "pi-7"), ("--group", "attic")), 1):
            pushing = start("push", "--broker", broker.url, *target, "append", "x", home=tmp_path)
            device.wait_until(lambda number=number: len(device.seen) == number)  # type: ignore[misc]
            pushing.send_signal(signal.SIGINT)
            out, err = pushing.communicate(timeout=60)
            job = device.seen[-1].id
            assert (pushing.returncode, out) == (130, b"")
            assert f"waspi cancel --device {'pi-7' if number == 1 else 'ID'} {job}" in err.decode()
            assert f"--id {job}" in err.decode()


def test_a_password_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_text("")
    made = ["mosquitto_passwd", "-b", str(tmp_path / "accounts"), "me", "secret"]
    subprocess.run(made, check=True, capture_output=True)
    (tmp_path / "password").write_text("secret\n")
    extra = f"user root\nallow_anonymous false\npassword_file {tmp_path}/accounts\n"
    with Mosquitto(tmp_path / "broker", extra=extra) as broker:
        url = broker.url.replace("//", "//me@")
        named = ("--broker", broker.url, "--username", "me", "--password-file", str(tmp_path / "password"))
        for options in (named, ("--broker", url, "--password-file", str(tmp_path / "password"))):
            assert waspi("fleet", *options, home=tmp_path).code == 0
        wrong = waspi("fleet", "--broker", url, "--password-file", str(tmp_path / "accounts"), home=tmp_path)
        assert (wrong.code, "user name or password" in wrong.error_line) == (3, True)
        gone = waspi("fleet", "--broker", url, "--password-file", str(tmp_path / "gone"), home=tmp_path)
        assert (gone.code, "cannot read the password file" in gone.error_line) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timeout", "10"), "write 500ms, 90s, 10m"),
        (("--time-limit", "5 min"), "write 500ms, 90s, 10m"),
        (("--expires-in", "9999999d"), "longer than ten years"),
    ],
)
def test_durations_have_one_spelling(tmp_path: Path, options: tuple[str, str], said: str) -> None:
    done = waspi("push", "--broker", "mqtt://127.0.0.1:1", "--device", "pi-7", "append", "x", *options, home=tmp_path)
    assert done.code == 2
    assert said in done.error_line
