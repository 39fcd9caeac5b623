"""FAULT 33: killed anywhere in an update, a device has the old release or the new one, and goes on by itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.crash.faultfs import FaultFs, Mode
from tests.integration.updates.device.rig import MODULE, Rig
from tests.simulators.agent_process import AgentProcess
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState

JOB = itertools.count()


def run(rig: Rig) -> str | None:
    result = rig.watcher.run(f"job-{next(JOB)}")
    assert result.state is JobState.SUCCEEDED, result.error
    said, _, _ = (result.module or "").partition(" ")
    assert result.outputs == (f"x<{said.removeprefix('append@')}>".encode(),)
    return result.module


def until_dead_or(rig: Rig, agent: AgentProcess, version: str, state: str) -> bool:
    """Wait until a release is in ``state`` (``True``) or the agent was killed."""
    rig.watcher.until(lambda: not agent.alive or rig.watcher.is_seen(version, state), 60.0)
    return agent.alive


@pytest.mark.parametrize("watched", ["updates", "modules"])
def test_fault_33_killed_at_every_change_of_the_disk(rig: Rig, tmp_path: Path, watched: str) -> None:
    """``updates`` holds the register of lives, ``modules`` bytes and artifacts; the updater has a test of its own.

    The device goes from release to release, and is killed once in each, every time a change of the disk later.
    """
    version = 1
    rig.desk.release(f"{version}.0.0")
    rig.depot()
    agent = rig.agent(updates="trial_jobs = 1\n")
    agent.start()
    rig.watcher.until_state("1.0.0", "TRIAL")
    run(rig)
    rig.watcher.until_state("1.0.0", "ACTIVE")
    agent.stop()
    faults = FaultFs(agent.state / watched, tmp_path, lazy=True)
    killed = 0
    for at in itertools.count(1):
        before, version = version, version + 1
        faults.arm(Mode.KILL, at)
        agent.start(**faults.environment())
        rig.desk.release(f"{version}.0.0")
        if until_dead_or(rig, agent, f"{version}.0.0", "TRIAL"):
            rig.watcher.send(Job(f"job-{next(JOB)}", NamedModule(MODULE), (b"x",)))  # which ends the trial
            if until_dead_or(rig, agent, f"{version}.0.0", "ACTIVE"):
                agent.stop()
                break
        killed += 1
        faults.disarm()
        agent.wait()
        rig.watcher.reported.clear()
        rig.watcher.presence.clear()
        agent.start()
        rig.watcher.until_online()
        said = run(rig)
        assert said in {f"append@{before}.0.0", f"append@{version}.0.0", f"append@{version}.0.0 (trial)"}
        rig.watcher.until_any(f"{version}.0.0", ("TRIAL", "ACTIVE"))
        run(rig)
        rig.watcher.until_state(f"{version}.0.0", "ACTIVE")
        assert run(rig) == f"append@{version}.0.0"
        agent.stop()
    assert killed >= (20 if watched == "updates" else 6)
    faults.close()
