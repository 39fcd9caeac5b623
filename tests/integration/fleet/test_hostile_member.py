"""What a member of the fleet says cannot pass for another's word, nor cost a client or a board without bound."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.device import SimulatedDevice
from tests.simulators.hostile_member import LIE, HostileMember
from tests.simulators.mosquitto import Mosquitto
from waspi.errors import NoAnswerError
from waspi.fleet import Client, client_session
from waspi.fleet.event import FleetEvent
from waspi.fleet.mosquitto_config import access_list, operator_name
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.protocol.plain_answer import CONTENT_TYPE as RAW
from waspi.protocol.result_envelope import encode_result
from waspi.protocol.topics import Topics

TOPICS = Topics("default")
TRUTH = b"x<---- This is your string"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with the access list that waspi writes; names are believed here, as certificates are elsewhere."""
    acl = tmp_path / "acl"
    acl.write_text(access_list("default", {"pi-1": ["kitchen"], "pi-2": ["kitchen"]}, ["ops"]))
    with Mosquitto(tmp_path / "broker", extra=f"user root\nallow_anonymous true\nacl_file {acl}\n") as broker:
        yield broker


def test_no_member_answers_for_another(guarded: Mosquitto) -> None:
    with (
        SimulatedDevice(guarded.url, "pi-1", groups=("kitchen",), username="pi-1", behaviour=lambda _: None) as victim,
        HostileMember(guarded.url, "pi-1", username="pi-2") as liar,
        Client(guarded.url, username=operator_name("ops")) as fleet,
    ):
        handle = fleet.submit_group("kitchen", "append", b"x", job_id="asked")
        liar.wait_until(lambda: bool(liar.seen))
        victim.wait_until(lambda: bool(victim.seen))
        assert list(handle.results(1.0)) == []
        assert handle.missing == {"pi-1", "pi-2"}
        with pytest.raises(NoAnswerError):
            fleet.run("pi-2", "append", b"x", timeout=0.5)
        victim.behaviour = lambda _: (TRUTH,)
        assert fleet.run("pi-1", "append", b"x", timeout=60).outputs == (TRUTH,)


def test_without_an_access_list_the_topic_still_has_to_fit(broker: Mosquitto) -> None:
    with (
        HostileMember(broker.url, "pi-1") as liar,
        Client(broker.url) as fleet,
    ):
        handle = fleet.submit("pi-1", "append", b"x", job_id="j-1")
        for topic in (TOPICS.result("pi-1", "j-2"), TOPICS.result("pi-2", "j-1")):
            liar.pretend(topic, encode_result(Result("j-1", "pi-1", JobState.SUCCEEDED, (LIE,))))
        with pytest.raises(NoAnswerError):
            handle.result(0.5)


def test_fault_48_a_plain_output_that_looks_like_a_result_is_no_result(broker: Mosquitto) -> None:
    """The module answers with the envelope of a job that somebody waits for."""
    envelope = encode_result(Result("j-1", "pi-2", JobState.SUCCEEDED, (LIE,)))
    with HostileMember(broker.url, "pi-1") as liar, Client(broker.url) as fleet:
        handle = fleet.submit("pi-2", "append", b"x", job_id="j-1", detached=True)
        for topic in (TOPICS.result("pi-2", "plain-7"), TOPICS.result("pi-2", "j-1")):
            liar.pretend(topic, envelope, content_type=RAW)
        liar.pretend(TOPICS.result("pi-2", "plain-7"), envelope)
        with pytest.raises(NoAnswerError):
            handle.result(0.5)
        liar.pretend(TOPICS.result("pi-2", "j-1"), encode_result(Result("j-1", "pi-2", JobState.SUCCEEDED, (TRUTH,))))
        assert handle.result(60).outputs == (TRUTH,)


def test_lies_about_lost_jobs_have_a_job_sent_again_ever_more_slowly(broker: Mosquitto) -> None:
    with HostileMember(broker.url, "pi-1") as liar, Client(broker.url) as fleet:
        fleet.submit("pi-2", "append", b"x" * 100_000, job_id="large")
        liar.wait_until(lambda: len(liar.seen) == 1)
        fleet.cancel("pi-2", "before")
        liar.deny(["large"], times=200)
        fleet.cancel("pi-2", "after")  # its PUBACK comes when the reports are read
        liar.wait_until(lambda: "after" in liar.cancelled)
        fleet.devices()
        assert 2 <= len(liar.seen) <= 3  # sent again at once, and perhaps once more after a second; not 200 times


def test_a_report_of_another_device_sends_nothing_again(broker: Mosquitto) -> None:
    with (
        SimulatedDevice(broker.url, "pi-1", behaviour=lambda _: None) as victim,
        HostileMember(broker.url, "pi-1") as liar,
        Client(broker.url) as fleet,
    ):
        fleet.submit("pi-1", "append", b"x", job_id="mine")
        victim.wait_until(lambda: len(victim.seen) == 1)
        liar.deny(["mine"], times=5)
        fleet.devices()
        fleet.cancel("pi-1", "after")
        victim.wait_until(lambda: victim.cancelled == ["after"])
        assert len(victim.seen) == 1


def test_a_watcher_that_fails_ends_no_job(broker: Mosquitto) -> None:
    called = threading.Event()

    def fails(event: FleetEvent) -> None:
        called.set()
        raise RuntimeError(event.kind)

    with SimulatedDevice(broker.url), Client(broker.url) as fleet:
        end = fleet.watch(fails)
        assert called.wait(60)
        assert fleet.run("pi-7", "append", b"x", timeout=60).outputs == (TRUTH,)
        end()
        end()
    end()


def test_a_client_that_nobody_used_holds_nothing() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    clients = [Client("mqtt://127.0.0.1:1") for _ in range(20)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    for client in clients:
        client.close()


def test_results_left_half_way_and_a_closed_client(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url, "pi-1", groups=("kitchen",)):
        with Client(broker.url) as fleet:
            results = fleet.submit_group("kitchen", "append", b"x").results(60)
            assert next(results).device == "pi-1"
        results.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_path_that_was_shut_for_a_while_opens_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reconnect the broker keeps the answers for longer than the client's patience; later it does not."""
    monkeypatch.setattr(client_session, "PROBE_PATIENCE_S", 0.1)
    acl, shut, wide = tmp_path / "acl", "topic write #\ntopic read waspi/#\n", "topic readwrite #\n"
    acl.write_text(wide)
    broker = Mosquitto(tmp_path / "broker", extra=f"user root\nallow_anonymous true\nacl_file {acl}\n")
    with broker, Client(broker.url) as fleet, SimulatedDevice(broker.url) as device:
        assert fleet.run("pi-7", "append", b"x", timeout=60).outputs == (TRUTH,)
        device.online.clear()
        acl.write_text(shut)
        broker.kill()
        broker.start()
        assert device.online.wait(60)
        handle = fleet.submit("pi-7", "append", b"x")
        with pytest.raises(NoAnswerError):
            handle.result(2.0)
        acl.write_text(wide)
        broker.reload()
        assert handle.result(60).outputs == (TRUTH,)
