"""A release on its way from the operator's desk to the jobs of a device, and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.updates.device.rig import MODULE, Rig, module
from tests.simulators.agent_process import AgentProcess
from waspi.model.deployment import DeploymentEntry
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import NamedModule
from waspi.model.release import GoldenPair
from waspi.model.state import JobState
from waspi.protocol.wanted import in_stage

TRAP_ON_Z = "(if (i32.eq (i32.load8_u (local.get 0)) (i32.const 122)) (then unreachable))"
QUICK = "trial_jobs = 1\n"


@pytest.fixture
def device(rig: Rig) -> AgentProcess:
    """An agent on which 1.0.0 is active."""
    rig.desk.release("1.0.0")
    rig.depot()
    agent = rig.agent(updates="trial_jobs = 2\ntrial_failures = 2\n")
    agent.start()
    rig.watcher.until_state("1.0.0", "TRIAL")
    for number in range(2):
        rig.watcher.run(f"warm-{number}")
    rig.watcher.until_state("1.0.0", "ACTIVE")
    return agent


def cli(*arguments: str, agent: AgentProcess) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "waspi", *arguments, "--state-dir", str(agent.state)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_release_is_fetched_tested_tried_and_active(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0")
    rig.watcher.until_state("2.0.0", "TRIAL")
    assert rig.watcher.state_of("1.0.0").state == "ACTIVE"  # type: ignore[union-attr]
    first = rig.watcher.run("one")
    assert (first.outputs, first.module) == ((b"x<2.0.0>",), "append@2.0.0 (trial)")
    older = rig.watcher.run("older", "1.0.0")
    assert (older.outputs, older.module) == ((b"x<1.0.0>",), "append@1.0.0")
    rig.watcher.run("two")
    rig.watcher.until_state("2.0.0", "ACTIVE")
    assert rig.watcher.state_of("1.0.0").state == "RETIRED"  # type: ignore[union-attr]
    assert rig.watcher.run("three").module == "append@2.0.0"
    assert rig.watcher.reported[-1].deployments == {"kitchen": 2}
    assert not device.children() or len(device.children()) <= 2  # workers; the updater is gone


def test_fault_34_a_golden_pair_that_fails_on_the_board_leaves_the_good_one(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0", golden=(GoldenPair(b"in", b"in<2.0.0>"), GoldenPair(b"in", b"something else")))
    told = rig.watcher.until_state("2.0.0", "FAILED")
    assert told.reason == "golden pair 2 of 2 gave 9 bytes where 14 are expected; they differ from byte 0 on"
    assert rig.watcher.run("after").module == "append@1.0.0"
    assert device.log.count("is FAILED") == 1
    rig.desk.repository.publish()  # nothing new: it is not tried again
    rig.desk.deploy("2.0.0", stage=99.0)  # a newer deployment of the same release does not try it again either
    rig.watcher.until(lambda: rig.watcher.reported[-1].deployments == {"kitchen": 3})
    assert device.log.count("is fetched") == 2
    rig.desk.deploy("2.0.0", retry=True)
    rig.watcher.until(lambda: device.log.count("is FAILED") == 2)


def test_fault_34_a_golden_pair_runs_within_the_releases_own_limits(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0", limits=Limits(fuel=3))
    told = rig.watcher.until_state("2.0.0", "FAILED")
    assert told.reason.startswith("golden pair 1 of 1 failed with fuel-limit: ")


def test_fault_34_a_release_that_crashes_in_its_trial_is_rolled_back(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0", wasm=module("<2.0.0>", before=TRAP_ON_Z))
    rig.watcher.until_state("2.0.0", "TRIAL")
    assert rig.watcher.run("bad-1", data=b"z").state is JobState.FAILED
    assert rig.watcher.run("good").module == "append@2.0.0 (trial)"
    assert rig.watcher.run("bad-2", data=b"z").state is JobState.FAILED
    told = rig.watcher.until_state("2.0.0", "ROLLED_BACK")
    assert "2 jobs failed in its trial, the last with unreachable" in told.reason
    assert rig.watcher.run("after", data=b"z").outputs == (b"z<1.0.0>",)
    assert device.log.count("is ROLLED_BACK") == 1
    device.kill()
    device.start()
    rig.watcher.until_online()
    assert rig.watcher.run("later").module == "append@1.0.0"
    assert device.log.count("is ROLLED_BACK") == 1  # reported once


def test_a_module_that_does_not_compile_is_failed(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0", wasm=b"\0asm\1\0\0\0 this is no module", golden=())
    assert "does not validate" in rig.watcher.until_state("2.0.0", "FAILED").reason
    assert rig.watcher.run("after").module == "append@1.0.0"


def test_rolling_back_on_the_device(rig: Rig, device: AgentProcess) -> None:
    refused = cli("rollback", MODULE, agent=device)
    assert (refused.returncode, "none to go back to" in refused.stderr) == (2, True)
    rig.desk.release("2.0.0")
    rig.watcher.until_state("2.0.0", "TRIAL")
    for number in range(2):
        rig.watcher.run(f"try-{number}")
    rig.watcher.until_state("2.0.0", "ACTIVE")
    done = cli("rollback", MODULE, agent=device)
    assert done.stdout == "append@2.0.0 is to be rolled back to append@1.0.0\n"
    assert rig.watcher.until_state("2.0.0", "ROLLED_BACK").reason == "rolled back on the device"
    assert rig.watcher.run("after").module == "append@1.0.0"
    shown = json.loads(cli("modules", "--json", agent=device).stdout)["modules"]
    assert [(each["version"], each["state"]) for each in shown] == [("1.0.0", "ACTIVE"), ("2.0.0", "ROLLED_BACK")]
    assert "rolled back on the device" in cli("modules", agent=device).stdout
    assert cli("modules", "--check", agent=device).returncode == 0
    rig.watcher.until(lambda: device.log.count("the updater made") >= 3)
    assert rig.watcher.run("later").module == "append@1.0.0"  # the deployment does not bring it back


def test_rolling_back_while_the_agent_is_down(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0")
    rig.watcher.until_state("2.0.0", "TRIAL")
    device.kill()
    assert cli("rollback", MODULE, agent=device).returncode == 0
    device.start()
    rig.watcher.until_state("2.0.0", "ROLLED_BACK")
    assert rig.watcher.run("after").module == "append@1.0.0"


def test_rolling_back_by_deployment_brings_the_kept_release_back_without_fetching(
    rig: Rig, device: AgentProcess
) -> None:
    rig.desk.release("2.0.0")
    rig.watcher.until_state("2.0.0", "TRIAL")
    for number in range(2):
        rig.watcher.run(f"try-{number}")
    rig.watcher.until_state("2.0.0", "ACTIVE")
    rig.desk.deploy("1.0.0")
    rig.watcher.until_state("1.0.0", "ACTIVE")
    assert rig.watcher.state_of("2.0.0").state == "RETIRED"  # type: ignore[union-attr]
    assert rig.watcher.run("after").module == "append@1.0.0"
    assert device.log.count("is fetched") == 2


def test_a_release_of_the_same_bytes_is_tested_anew_and_not_fetched(rig: Rig, device: AgentProcess) -> None:
    """New golden pairs or limits for what runs already, for example."""
    rig.desk.release("1.0.1", wasm=module("<1.0.0>"), golden=(GoldenPair(b"in", b"in<1.0.0>"),))
    rig.watcher.until_state("1.0.1", "TRIAL")
    rig.watcher.until(lambda: device.log.count("the updater made") >= 2)
    assert set(re.findall(r"fetched (\d+) bytes", device.log)[1:]) == {"0"}
    assert rig.watcher.run("same").module == "append@1.0.1 (trial)"
    rig.watcher.run("again")
    rig.watcher.until_state("1.0.1", "ACTIVE")


def test_a_module_that_no_deployment_names_any_more_is_taken_off(rig: Rig, device: AgentProcess) -> None:
    rig.desk.repository.undeploy("kitchen", MODULE)
    rig.desk.repository.publish()
    rig.watcher.until(lambda: rig.watcher.state_of("1.0.0") is None)
    rig.watcher.send(Job("gone", NamedModule(MODULE), (b"x",)))
    told = rig.watcher.result("gone")
    assert told.error is not None
    assert told.error.kind == "unknown-module"


def test_a_stage_that_does_not_hold_the_device_is_only_available(rig: Rig, device: AgentProcess) -> None:
    assert not in_stage(device.id, DeploymentEntry("append", "2.0.0", 0.01))
    rig.desk.release("2.0.0", stage=0.01)
    rig.watcher.until(lambda: rig.watcher.reported[-1].deployments == {"kitchen": 2})
    kept = rig.watcher.until_state("1.0.0", "ACTIVE")
    assert kept.available == "2.0.0"
    rig.desk.deploy("2.0.0", stage=100.0)
    rig.watcher.until_state("2.0.0", "TRIAL")


def test_a_module_of_the_configuration_is_left_alone(rig: Rig, tmp_path: Path) -> None:
    guest = tmp_path / "local.wasm"
    guest.write_bytes(module("<local>"))
    rig.desk.release("1.0.0")
    rig.depot()
    agent = rig.agent(rest=f'[modules.append]\npath = "{guest}"\nversion = "0.9"\n')
    agent.start()
    rig.watcher.until(lambda: rig.watcher.reported and rig.watcher.reported[-1].deployments == {"kitchen": 1})
    assert rig.watcher.run("one").outputs == (b"x<local>",)
    assert [(each.version, each.state) for each in rig.watcher.reported[-1].modules] == [("0.9", "ACTIVE")]


def test_a_newer_release_comes_while_the_last_is_in_its_trial(rig: Rig, device: AgentProcess) -> None:
    rig.desk.release("2.0.0", wasm=module("<2.0.0>", before=TRAP_ON_Z))
    rig.watcher.until_state("2.0.0", "TRIAL")
    rig.desk.release("3.0.0")
    rig.watcher.until_state("3.0.0", "TRIAL")
    assert rig.watcher.state_of("1.0.0").state == "ACTIVE"  # type: ignore[union-attr]
    assert rig.watcher.state_of("2.0.0").state == "ROLLED_BACK"  # type: ignore[union-attr]
