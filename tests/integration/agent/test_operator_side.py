"""An operator's own client against a real agent: every job gets an answer that says what is wrong, and at once."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.integration.agent.conftest import AgentMaker
from tests.integration.cli.command import waspi
from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi.errors import InputTooLargeError
from waspi.fleet import Client
from waspi.fleet.key_file import KeyFile
from waspi.model.result import Result
from waspi.model.state import JobState

INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "keys", "ops")


@pytest.fixture
def strict(make_agent: AgentMaker, publisher: Publisher, key: KeyFile) -> AgentProcess:
    """An agent that takes jobs signed by ``key`` only."""
    public = base64.b64encode(key.public_bytes()).decode()
    agent = make_agent(
        rest=f'[policy]\njobs = "signed"\n[[policy.keys]]\nid = "ops"\npublic_key = "{public}"\n',
        device='groups = ["kitchen"]',
    )
    agent.start()
    publisher.until_online()
    return agent


def refused(result: Result, job: str, kind: str) -> bool:
    assert result.error is not None
    return (result.id, result.state, result.error.kind) == (job, JobState.REJECTED, kind)


def test_a_job_that_is_not_trusted_is_answered_under_its_own_id(
    strict: AgentProcess, broker: Mosquitto, tmp_path: Path
) -> None:
    stranger = KeyFile.create(tmp_path / "other", "stranger")
    for signing, kind in ((None, "unsigned"), (stranger, "bad-signature")):
        with Client(broker.url, signing_key=signing) as fleet:
            assert refused(fleet.run(strict.id, "append", INPUT, job_id="mine"), "mine", kind)
            (in_group,) = fleet.submit_group("kitchen", "append", INPUT, job_id="ours").results(30)
            assert refused(in_group, "ours", kind)
            detached = fleet.submit(strict.id, "append", INPUT, job_id="told", detached=True)
            assert refused(detached.result(30), "told", kind)


def test_the_command_line_says_so_too(strict: AgentProcess, broker: Mosquitto, tmp_path: Path) -> None:
    done = waspi("push", "--broker", broker.url, "--device", strict.id, "append", "x", "--id", "mine", home=tmp_path)
    assert (done.code, done.out) == (1, b"")
    assert done.error_line.startswith("waspi: publisher: job mine on pi-1: REJECTED (unsigned)")


def test_the_same_signed_job_pushed_again_is_answered_and_not_run(
    strict: AgentProcess, broker: Mosquitto, key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()  # both within one hour, even where this test meets the end of one
    monkeypatch.setattr("waspi.fleet.job_order.time", SimpleNamespace(time=lambda: now))
    results = []
    for _ in range(2):  # two clients, as two calls of waspi push are
        with Client(broker.url, signing_key=key) as fleet:
            results.append(fleet.run(strict.id, "append", INPUT, job_id="once"))
    assert results[0].outputs == (OUTPUT,)
    assert results[0] == results[1]


def test_input_beyond_the_brokers_packets_is_the_publishers_fault(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "small", extra="allow_anonymous true\nmax_packet_size 20000\n") as small,
        Client(small.url) as fleet,
        pytest.raises(InputTooLargeError, match="packets of 20000 bytes"),
    ):
        fleet.run("pi-1", "append", bytes(30_000))


def test_a_file_that_is_no_module_is_refused_before_it_is_sent(broker: Mosquitto, tmp_path: Path) -> None:
    for name, content in (("a.wasm", b"prose"), ("b.wasm", b"")):
        (tmp_path / name).write_bytes(content)
        file = str(tmp_path / name)
        done = waspi("push", "--broker", broker.url, "--device", "pi-1", file, "x", home=tmp_path)
        assert done.code == 1
        assert done.error_line.startswith(f"waspi: guest: {file} is no WebAssembly")
