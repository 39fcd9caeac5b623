"""FAULTS 15-17: what a hostile publisher sends is refused, acknowledged, told once and never run."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.agent.conftest import LOOP
from tests.simulators.agent_process import Publisher, TappedAgent
from tests.simulators.mosquitto import Mosquitto
from waspi._wasmer import wat2wasm
from waspi.model.job import Job
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState
from waspi.protocol import cose
from waspi.protocol.cancel import encode_cancel
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.signed_request import SYNC_QUERY, cancel_of, sign_request
from waspi.protocol.sync import decode_sync_report, encode_sync_query

SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))
OUTPUT = b"x<---- This is your string"


class SignedWorld:
    """A device that takes signed jobs only, and a publisher."""

    def __init__(self, folder: Path, broker: Mosquitto, guest: bytes, device: str = "pi-1") -> None:
        folder.mkdir(parents=True)
        (folder / "append.wasm").write_bytes(guest)
        key = base64.b64encode(cose.public_key(SEED)).decode()
        (folder / "loop.wasm").write_bytes(wat2wasm(LOOP))
        rest = f'[modules.append]\npath = "{folder / "append.wasm"}"\n[modules.loop]\npath = "{folder / "loop.wasm"}"\n'
        rest += '[policy]\njobs = "signed"\n'
        rest += f'[[policy.keys]]\nid = "ops"\npublic_key = "{key}"\n'
        rest += 'roles = ["run"]\ngroups = ["kitchen"]\n'
        self.agent = TappedAgent(folder, broker.url, device, rest=rest, device='groups = ["kitchen"]')
        self.publisher = Publisher(broker.url, f"publisher-{device}", device=device)
        self.publisher.connect()
        self.agent.start()
        self.publisher.until(lambda: any(each.topic.endswith(f"{device}/presence") for each in self.publisher.messages))

    def refused_with(self, body: bytes, job_id: str) -> str:
        """Send it; the error's kind. Nothing may run, and no second answer may come."""
        before = len(self.publisher.results)
        self.publisher.send(body)
        self.publisher.until(lambda: len(self.publisher.results) > before)
        self.publisher.settle()
        assert len(self.publisher.results) == before + 1, "refused once: it is acknowledged and does not come again"
        result = self.publisher.results[before][0]
        assert result.error is not None
        assert result.state in {JobState.REJECTED, JobState.EXPIRED}
        assert self.agent.runs()[job_id] == 0
        return result.error.kind

    def close(self) -> None:
        self.publisher.close()
        self.agent.kill()


def signed(job: Job, seed: bytes = SEED, kid: str = "ops") -> bytes:
    return cose.sign(encode_job(job), seed=seed, kid=kid)


def good(job_id: str) -> Job:
    return Job(job_id, NamedModule("append"), (b"x",), audience="device/pi-1", expires_at=float(int(time.time()) + 300))


@pytest.fixture
def world(tmp_path: Path, broker: Mosquitto, append_wasm: bytes) -> SignedWorld:
    return SignedWorld(tmp_path / "pi-1", broker, append_wasm)


def test_fault_15_only_well_signed_jobs_run(world: SignedWorld, append_wasm: bytes) -> None:
    try:
        job = good("job")
        past = replace(job, expires_at=float(int(time.time()) - 10))
        far = replace(job, expires_at=float(int(time.time()) + 365 * 86_400))
        bent = bytearray(signed(job))
        bent[-70] ^= 1
        attacks = {
            "unsigned": encode_job(job),
            "wrong key": signed(job, OTHER_SEED),
            "unknown key": signed(job, OTHER_SEED, "mallory"),
            "changed": bytes(bent),
            "cut short": signed(job)[:-1],
            "no audience": signed(replace(job, audience=None)),
            "another device": signed(replace(job, audience="device/pi-2")),
            "another group": signed(replace(job, audience="group/garage")),
            "expired": signed(past),
            "no expiry": signed(replace(job, expires_at=None)),
            "expiry too far ahead": signed(far),
            "inline without the role": signed(replace(job, module=InlineModule(append_wasm))),
            "signed twice": cose.sign(signed(job), seed=SEED, kid="ops"),
        }
        kinds = {name: world.refused_with(body, "job") for name, body in attacks.items()}
        assert kinds.pop("expired") == "expired"
        assert kinds.pop("inline without the role") == "not-allowed"
        assert kinds.pop("signed twice") == "bad-envelope"
        assert kinds.pop("unsigned") == "unsigned"
        assert set(kinds.values()) == {"bad-signature"}
        world.publisher.send(b"x", topic=world.publisher.topics.run("pi-1", "append"))
        world.publisher.until(lambda: world.publisher.plain)
        assert dict(world.publisher.plain[0].user_properties)["error-kind"] == "not-allowed"
        before = len(world.publisher.results)
        world.publisher.send(signed(job))
        world.publisher.until(lambda: len(world.publisher.results) > before)
        assert world.publisher.results[before][0].outputs == (OUTPUT,)
        assert world.agent.runs() == {"job": 1}
    finally:
        world.close()


def test_fault_15_only_a_well_signed_cancel_stops_a_job_and_only_a_well_signed_query_is_answered(
    world: SignedWorld, loop_wasm: bytes
) -> None:
    publisher = world.publisher
    topics, later = publisher.topics, int(time.time()) + 300

    def request(what: str, body: bytes, **changes: object) -> bytes:
        told = {"what": what, "device": "pi-1", "expires_at": later, "seed": SEED, "kid": "ops"} | changes
        return sign_request(body, **told)  # type: ignore[arg-type]

    query = encode_sync_query(["endless", "nobody"])
    try:
        publisher.send(signed(replace(good("endless"), module=NamedModule("loop"))))
        publisher.until(lambda: world.agent.runs()["endless"])
        what = cancel_of("endless")
        for attack in (
            b"",
            encode_cancel("because"),
            request(what, b"", seed=OTHER_SEED),
            request(what, b"", device="pi-2"),
            request(cancel_of("another"), b""),
            request(what, b"", expires_at=int(time.time()) - 10),
            request(what, b"", expires_at=later + 365 * 86_400),
            request(SYNC_QUERY, b""),
        ):
            publisher.send(attack, topic=topics.cancel("pi-1", "endless"), reply_to=None)
        sync = f"{publisher.reply_to}/sync"
        for attack in (query, request(SYNC_QUERY, query), request(SYNC_QUERY, query, reply_to="reply/elsewhere")):
            publisher.send(attack, topic=topics.sync_query("pi-1"), reply_to=sync)
        publisher.settle()
        assert not publisher.results_of("endless")
        assert not [each for each in publisher.messages if each.topic == sync]
        publisher.send(request(SYNC_QUERY, query, reply_to=sync), topic=topics.sync_query("pi-1"), reply_to=sync)
        publisher.until(lambda: any(each.topic == sync for each in publisher.messages))
        report = decode_sync_report(next(each.payload for each in publisher.messages if each.topic == sync))
        assert (set(report.jobs), report.unknown) == ({"endless"}, ("nobody",))
        publisher.send(request(what, encode_cancel("enough")), topic=topics.cancel("pi-1", "endless"), reply_to=None)
        ended = publisher.result("endless")
        assert ended.error is not None
        assert (ended.state, ended.error.message) == (JobState.CANCELED, "the run was canceled: enough")
    finally:
        world.close()


def test_fault_16_a_signed_job_that_is_replayed_or_sent_on_runs_nowhere_again(
    world: SignedWorld, tmp_path: Path, broker: Mosquitto, append_wasm: bytes
) -> None:
    neighbour = SignedWorld(tmp_path / "pi-2", broker, append_wasm, "pi-2")
    try:
        body = signed(good("once"))
        world.publisher.send(body)
        first = world.publisher.result("once")
        for _ in range(3):
            world.publisher.send(body)
        world.publisher.until(lambda: len(world.publisher.results_of("once")) == 4)
        world.agent.kill()
        world.agent.start()
        # The memory of ids outlives the agent. It may also tell the first result again, whose PUBACK it had not noted.
        world.publisher.send(body, correlation=b"after the kill")
        world.publisher.until(
            lambda: any(message.correlation == b"after the kill" for _, message in world.publisher.results)
        )
        assert set(world.publisher.results_of("once")) == {first}
        assert world.agent.runs() == {"once": 1}
        assert neighbour.refused_with(body, "once") == "bad-signature"
        group = signed(replace(good("for-all"), audience="group/kitchen"))
        world.publisher.send(group, topic=world.publisher.topics.device_job("pi-1"))
        assert world.publisher.result("for-all").state is JobState.SUCCEEDED
    finally:
        neighbour.close()
        world.close()


def test_fault_16_a_device_that_lost_its_journal_runs_no_replay(world: SignedWorld) -> None:
    try:
        old = signed(replace(good("once"), issued_at=float(int(time.time()) - 60)))
        world.publisher.send(old)
        world.publisher.result("once")
        world.agent.stop()
        (world.agent.state / "journal.db").write_bytes(b"no database " * 1000)
        before = len(world.publisher.presence)
        world.agent.start()
        world.publisher.until(lambda: any(each.state == "online" for each in world.publisher.presence[before:]))
        runs = world.agent.runs()["once"]
        for body in (old, signed(good("no-time"))):
            seen = len(world.publisher.results)
            world.publisher.send(body)
            world.publisher.until(lambda seen=seen: len(world.publisher.results) > seen)
            error = world.publisher.results[seen][0].error
            assert error is not None
            assert error.kind == "bad-signature"
        assert world.agent.runs()["once"] == runs == 1
        world.publisher.send(signed(replace(good("later"), issued_at=float(int(time.time()) + 2))))
        assert world.publisher.result("later").state is JobState.SUCCEEDED
    finally:
        world.close()


def test_fault_17_a_retained_job_is_refused_each_time_and_runs_never(
    tmp_path: Path, broker: Mosquitto, append_wasm: bytes
) -> None:
    (tmp_path / "append.wasm").write_bytes(append_wasm)
    rest = f'[modules.append]\npath = "{tmp_path / "append.wasm"}"\n'
    agent = TappedAgent(tmp_path / "pi-1", broker.url, rest=rest)
    publisher = Publisher(broker.url)
    try:
        publisher.connect()
        publisher.send(Job("state", NamedModule("append"), (b"x",)), retain=True)
        publisher.send(b"x", topic=publisher.topics.run("pi-1", "append"), retain=True)
        agent.start()
        publisher.until(lambda: publisher.results and publisher.plain)
        refused = publisher.results[0][0]  # under an id made of its hash: it was not even read
        assert refused.error is not None
        assert (refused.state, refused.error.kind) == (JobState.REJECTED, "retained-job")
        assert dict(publisher.plain[0].user_properties)["error-kind"] == "retained-job"
        publisher.send(Job("live", NamedModule("append"), (b"x",)), retain=True)  # retained, but seen live
        publisher.until(lambda: len(publisher.results) == 2)
        assert publisher.results[1][0].state is JobState.REJECTED
        publisher.settle()
        assert not agent.runs()
    finally:
        publisher.close()
        agent.kill()
