"""A rollout as it will be: the command, a depot, mosquitto, and three real agents that run the module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.command import Finished, waspi
from tests.integration.updates.device.rig import Rig
from waspi.fleet.client import Client
from waspi.model.release import GoldenPair

DEVICES = ("pi-1", "pi-2", "pi-3")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, device="pi-1")


def rollout(rig: Rig, version: str, *, code: int) -> tuple[list[dict[str, object]], Finished]:
    done = waspi(
        *("rollout", f"append@{version}", "--group", "kitchen", "--stages", "50%,100%", "--soak", "0.5s"),
        *("--look", "0.2s", "--json", "--patience", "1m", "--repo", str(rig.desk.folder), "--broker", rig.broker.url),
        home=rig.folder / "home",
        timeout=150,
    )
    assert done.code == code, done.err + done.text
    return [json.loads(line) for line in done.text.splitlines()], done


def test_a_good_release_reaches_three_agents_and_a_bad_one_is_taken_back(rig: Rig) -> None:
    good, bad = "2.0.0", "3.0.0"
    with rig, Client(rig.broker.url) as fleet:
        rig.desk.release("1.0.0")
        rig.depot()
        for device in DEVICES:
            rig.agent(device, updates="trial_jobs = 1\n").start()
        rig.watcher.until_state("1.0.0", "TRIAL")

        rig.desk.release(good, stage=0.0)
        looks, _ = rollout(rig, good, code=0)
        begun = {look["stage"]: look["chosen"] for look in looks if look["phase"] == "DEPLOYING"}
        assert list(begun) == ["50%", "100%"]
        assert begun["50%"]["devices"] == 2  # type: ignore[index]
        assert [look["stage"] for look in looks if look["phase"] == "SOAKING"] == ["50%", "100%"]
        assert looks[-1]["serving"] == 3
        assert [fleet.run(device, "append", b"x", timeout=30).outputs for device in DEVICES] == [
            (f"x<{good}>".encode(),)
        ] * 3

        rig.desk.release(bad, golden=(GoldenPair(b"in", b"not what it gives"),), stage=0.0)
        looks, done = rollout(rig, bad, code=1)
        assert looks[-1]["phase"] == "ABORTED"
        assert "golden pair 1 of 1" in done.err
        assert all(look["serving"] == 0 for look in looks)
        assert [fleet.run(device, "append", b"x", timeout=30).outputs for device in DEVICES] == [
            (f"x<{good}>".encode(),)
        ] * 3
