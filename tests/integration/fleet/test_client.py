from __future__ import annotations

import queue
import threading
import time
from pathlib import Path

import pytest

from tests.simulators.device import SimulatedDevice, append
from tests.simulators.mosquitto import Mosquitto, free_port
from waspi.errors import (
    DuplicateJobError,
    GuestError,
    NoAnswerError,
    RefusedByBrokerError,
    UnknownModuleError,
    UnreachableBrokerError,
    UsageError,
)
from waspi.fleet import Client
from waspi.fleet.event import EventKind, FleetEvent
from waspi.fleet.key_file import KeyFile
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState
from waspi.protocol.trust import TrustedKey

INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


def test_a_job_goes_there_and_its_result_comes_back(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url) as device, Client(broker.url) as fleet:
        result = fleet.run("pi-7", "append@1.0.0", INPUT, timeout=60, limits=Limits(fuel=5), priority=3)
    assert result.state is JobState.SUCCEEDED
    assert result.outputs == (OUTPUT,)
    (job,) = device.seen
    assert job.module == NamedModule("append", "1.0.0")
    assert (job.limits, job.priority, job.audience) == (Limits(fuel=5), 3, None)


def test_many_jobs_at_once_each_get_their_own_answer_once(broker: Mosquitto) -> None:
    inputs = [f"input {number}".encode() for number in range(500)]
    answers: list[str] = []
    with SimulatedDevice(broker.url) as device, Client(broker.url, window=50) as fleet:
        handles = [fleet.submit("pi-7", "append", data) for data in inputs]
        for handle in handles:
            handle.future.add_done_callback(lambda _, job=handle.id: answers.append(job))  # type: ignore[misc]
        outputs = [handle.result(20).outputs[0] for handle in handles]
    assert outputs == [data + b"<---- This is your string" for data in inputs]
    assert sorted(answers) == sorted(handle.id for handle in handles)
    assert len(device.runs) == 500


def test_a_batch_has_one_output_for_each_input(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url), Client(broker.url) as fleet:
        result = fleet.run("pi-7", b"\0asm", [b"a", b"b"], timeout=60)
    assert result.batch
    assert result.outputs == (b"a<---- This is your string", b"b<---- This is your string")


def test_a_failed_job_is_a_result_not_an_exception(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, behaviour=lambda _: UnknownModuleError("no module nope")),
        Client(broker.url) as fleet,
    ):
        result = fleet.run("pi-7", "nope", b"", timeout=60)
    assert result.state is JobState.REJECTED
    assert result.error is not None
    assert result.error.kind == "unknown-module"


def test_a_large_result_comes_in_chunks(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, behaviour=lambda job: (job.inputs[0] * 3,), chunk_bytes=10_000),
        Client(broker.url) as fleet,
    ):
        result = fleet.run("pi-7", "triple", bytes(range(256)) * 400, timeout=60)
    assert result.outputs == (bytes(range(256)) * 1200,)


def test_broker_that_lost_everything_costs_only_time(tmp_path: Path) -> None:
    """The broker takes a job for a device that is away, is killed, and forgets it: the device's sync brings it back."""
    broker = Mosquitto(tmp_path)
    with broker, Client(broker.url) as fleet:
        handle = fleet.submit("pi-7", "append", INPUT)
        fleet.cancel("pi-7", "another")  # its PUBACK comes after the job's
        broker.kill()
        broker.start()
        with SimulatedDevice(broker.url) as device:
            assert handle.result(30).outputs == (OUTPUT,)
        assert device.runs == [handle.id]


def test_device_that_lost_its_memory_gets_the_job_again(broker: Mosquitto) -> None:
    mute = True

    def behaviour(job: Job) -> tuple[bytes, ...] | None:
        return None if mute else append(job)

    with SimulatedDevice(broker.url, behaviour=behaviour) as device, Client(broker.url) as fleet:
        handle = fleet.submit("pi-7", "append", INPUT)
        device.wait_until(lambda: len(device.seen) == 1)
        mute = False
        device.forget()
        assert handle.result(10).outputs == (OUTPUT,)
    assert [job.id for job in device.seen] == [handle.id] * 2
    assert device.seen[0] == device.seen[1]


def test_same_id_twice_on_its_way_is_refused_here(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url, behaviour=lambda _: None), Client(broker.url) as fleet:
        fleet.submit("pi-7", "append", INPUT, job_id="once")
        with pytest.raises(DuplicateJobError, match="once"):
            fleet.submit("pi-7", "append", INPUT, job_id="once").result(10)


def test_a_group_answers_device_by_device(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, "pi-1", groups=("kitchen",)),
        SimulatedDevice(broker.url, "pi-2", groups=("kitchen",)),
        SimulatedDevice(broker.url, "pi-3") as other,
        Client(broker.url) as fleet,
    ):
        handle = fleet.submit_group("kitchen", "append", INPUT)
        assert handle.expected == {"pi-1", "pi-2"}
        results = list(handle.results(10))
    assert {result.device for result in results} == {"pi-1", "pi-2"}
    assert not handle.missing
    assert not other.seen


def test_no_answer_says_what_is_known_of_the_device(broker: Mosquitto) -> None:
    with Client(broker.url) as fleet:
        with pytest.raises(NoAnswerError, match="pi-9 never announced itself in fleet default"):
            fleet.run("pi-9", "append", INPUT, timeout=0.3)
        mute = SimulatedDevice(broker.url, behaviour=lambda _: None)
        said: queue.SimpleQueue[FleetEvent] = queue.SimpleQueue()
        fleet.watch(said.put)
        with mute:
            handle = fleet.submit("pi-7", "append", INPUT)
            while said.get(timeout=30).kind is not EventKind.STATUS:
                pass
            with pytest.raises(NoAnswerError, match=r"pi-7 is online since .* last said that the job is IN_PROGRESS"):
                handle.result(0.01)


def test_cancel_reaches_the_device(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url, behaviour=lambda _: None) as device, Client(broker.url) as fleet:
        handle = fleet.submit("pi-7", "append", INPUT)
        fleet.cancel("pi-7", handle.id, reason="changed my mind")
        device.wait_until(lambda: device.cancelled == [handle.id])


def test_devices_and_watch_tell_what_devices_say(broker: Mosquitto) -> None:
    events: list[FleetEvent] = []
    told = threading.Condition()

    def note(event: FleetEvent) -> None:
        with told:
            events.append(event)
            told.notify_all()

    with Client(broker.url) as fleet:
        assert fleet.devices() == {}
        end = fleet.watch(note)
        with SimulatedDevice(broker.url, groups=("attic",)):
            fleet.run("pi-7", "append", INPUT, timeout=60)
            view = fleet.devices()["pi-7"]
            assert (view.online, view.groups) == (True, ("attic",))
        with told:
            kinds = {EventKind.PRESENCE, EventKind.REPORTED, EventKind.STATUS}
            assert told.wait_for(lambda: kinds <= {event.kind for event in events}, 10)
        end()


def test_signed_job_verifies_and_names_its_audience(broker: Mosquitto, tmp_path: Path) -> None:
    key = KeyFile.create(tmp_path, "ops")
    keys = {"ops": TrustedKey("ops", key.public_bytes())}
    with (
        SimulatedDevice(broker.url, keys=keys) as device,
        Client(broker.url, signing_key=key) as fleet,
    ):
        assert fleet.run("pi-7", "append", INPUT, timeout=60).outputs == (OUTPUT,)
    (job,) = device.seen
    assert job.audience == "device/pi-7"
    assert job.expires_at is not None
    assert 3600 <= job.expires_at - time.time() + 10 <= 7210
    assert job.expires_at % 3600 == 0, "the same job soon after has to be the same bytes"


def test_inline_module_travels(broker: Mosquitto, tmp_path: Path) -> None:
    module = tmp_path / "m.wasm"
    module.write_bytes(b"\0asm\1\0\0\0")
    with SimulatedDevice(broker.url) as device, Client(broker.url) as fleet:
        fleet.run("pi-7", module, INPUT, timeout=60)
    assert device.seen[0].module == InlineModule(b"\0asm\1\0\0\0")


def test_unreachable_broker() -> None:
    with pytest.raises(UnreachableBrokerError, match="cannot connect"):
        Client(f"mqtt://127.0.0.1:{free_port()}").connect()


def test_wrong_password(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("")
    extra = f"user root\nallow_anonymous false\npassword_file {tmp_path}/passwords\n"
    with Mosquitto(tmp_path, extra=extra) as broker, pytest.raises(RefusedByBrokerError, match="user name or password"):
        Client(broker.url, username="me", password="wrong").connect()  # noqa: S106 - it is meant to be wrong


def test_broker_that_withholds_answers_is_noticed_before_the_first_job(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write #\ntopic read waspi/#\n")
    with (
        Mosquitto(tmp_path, extra=f"user root\nallow_anonymous true\nacl_file {acl}\n") as broker,
        pytest.raises(RefusedByBrokerError, match="keeps reply/"),
    ):
        Client(broker.url).connect()


def test_text_is_no_input_and_ids_are_checked(broker: Mosquitto) -> None:
    with Client(broker.url) as fleet:
        with pytest.raises(UsageError, match="encode"):
            fleet.submit("pi-7", "append", "text")  # type: ignore[arg-type]
        with pytest.raises(Exception, match="device id 'a/b' is not allowed"):
            fleet.submit("a/b", "append", b"")


def test_closing_fails_what_still_waits(broker: Mosquitto) -> None:
    with Client(broker.url) as fleet:
        handle = fleet.submit("pi-7", "append", INPUT)
    with pytest.raises(NoAnswerError, match="closed"):
        handle.result(1)
    with pytest.raises(UsageError, match="closed"):
        fleet.submit("pi-7", "append", INPUT)


def test_guest_error_of_a_device_keeps_its_words(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, behaviour=lambda _: GuestError("the guest says no")),
        Client(broker.url) as fleet,
    ):
        error = fleet.run("pi-7", "append", INPUT, timeout=60).error
    assert error is not None
    assert (error.fault, error.message) == ("guest", "the guest says no")
