"""What a device cannot take is refused before it is sent, where the device says what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.command import waspi
from tests.simulators.device import SimulatedDevice
from tests.simulators.mosquitto import Mosquitto
from waspi.errors import Fault, InputTooLargeError, ModuleTooLargeError, WaspiError
from waspi.fleet import Client
from waspi.model.module import InlineModule
from waspi.model.state import JobState
from waspi.protocol.reported import MessageLimits

KIB = 1024
TAKES = MessageLimits(packet_bytes=64 * KIB, input_bytes=20 * KIB, module_bytes=30 * KIB)
WASM = b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("takes", "module", "data", "error", "named"),
    [
        (TAKES, "append", bytes(20 * KIB + 1), InputTooLargeError, "input of 20481 bytes.*pi-7 takes 20480 .*input_by"),
        (TAKES, WASM + bytes(30 * KIB), b"", ModuleTooLargeError, "module of 30728 bytes.*pi-7 .*30720 .*module_bytes"),
        (
            MessageLimits(64 * KIB),
            WASM + bytes(64 * KIB),
            b"",
            InputTooLargeError,
            "packet of .*pi-7 .*65536 .*packet_",
        ),
    ],
)
def test_what_the_device_cannot_take_is_not_sent(
    broker: Mosquitto, takes: MessageLimits, module: str | bytes, data: bytes, error: type[WaspiError], named: str
) -> None:
    """The first job of a client, too: what the broker keeps of the device is read before a large job leaves."""
    with SimulatedDevice(broker.url, takes=takes) as device, Client(broker.url) as fleet:
        source = InlineModule(module) if isinstance(module, bytes) else module
        with pytest.raises(error, match=named):
            fleet.run("pi-7", source, data, timeout=60)
        assert fleet.run("pi-7", "append", b"x", timeout=60).state is JobState.SUCCEEDED
    assert [job.inputs for job in device.seen] == [(b"x",)]


def test_what_just_fits_is_sent_and_arrives(broker: Mosquitto) -> None:
    """The size that is worked out here is the one that the broker goes by."""
    takes = MessageLimits(packet_bytes=64 * KIB)
    refused = None
    with SimulatedDevice(broker.url, takes=takes), Client(broker.url) as fleet:
        for size in range(64 * KIB - 300, 64 * KIB, 4):
            try:
                assert fleet.run("pi-7", "append", bytes(size), timeout=60).state is JobState.SUCCEEDED
            except InputTooLargeError:
                refused = refused or size
                continue
            assert refused is None
    assert refused is not None


def test_a_device_that_says_nothing_of_its_limits_is_asked(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url), Client(broker.url) as fleet:
        large = fleet.submit("pi-7", "append", bytes(100 * KIB), job_id="large")
        small = fleet.submit("pi-7", "append", b"x", job_id="small")
        assert (large.result(60).state, small.result(60).state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)


def test_jobs_leave_in_the_order_in_which_they_came(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url) as device, Client(broker.url) as fleet:
        sizes = (1, 100 * KIB, 2, 200 * KIB, 3)
        for handle in [fleet.submit("pi-7", "append", bytes(size)) for size in sizes]:
            handle.result(60)
    assert tuple(len(job.inputs[0]) for job in device.seen) == sizes


def test_of_a_group_those_that_it_cannot_reach_are_answered_for(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, "pi-1", groups=("kitchen",)),
        SimulatedDevice(broker.url, "pi-2", groups=("kitchen",), takes=MessageLimits(packet_bytes=64 * KIB)),
        SimulatedDevice(broker.url, "pi-3", groups=("attic",), takes=MessageLimits(packet_bytes=64 * KIB)) as alone,
        Client(broker.url) as fleet,
    ):
        results = {each.device: each for each in fleet.submit_group("kitchen", "append", bytes(80 * KIB)).results(60)}
        assert {device: result.state for device, result in results.items()} == {
            "pi-1": JobState.SUCCEEDED,
            "pi-2": JobState.REJECTED,
        }
        error = results["pi-2"].error
        assert error is not None
        assert (error.fault, error.kind) == (Fault.PUBLISHER, "input-too-large")
        with pytest.raises(InputTooLargeError, match="pi-3 takes packets of 65536"):
            list(fleet.submit_group("attic", "append", bytes(80 * KIB)).results(60))
    assert not alone.seen


@pytest.mark.parametrize("more", [(), ("--no-wait",)])
def test_push_says_so_in_one_line(broker: Mosquitto, tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "input").write_bytes(bytes(20 * KIB + 1))
    with SimulatedDevice(broker.url, takes=TAKES) as device:
        options = ("--broker", broker.url, "--device", "pi-7", "--input-file", str(tmp_path / "input"), *more)
        done = waspi("push", "append", *options, home=tmp_path)
    assert (done.code, done.out, device.seen) == (1, b"", [])
    assert done.error_line.startswith("waspi: publisher: ")
    assert "device pi-7 takes 20480 bytes at most (limits.input_bytes)" in done.error_line
