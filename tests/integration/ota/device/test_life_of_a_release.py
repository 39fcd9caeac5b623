"""A release on its way from the operator's desk to the jobs of a device, and back."""

from __future__ import annotations

from tests.integration.ota.device.rig import Rig


def test_a_release_is_fetched_tested_tried_and_active(rig: Rig) -> None:
    rig.desk.release("1.0.0")
    rig.depot()
    agent = rig.agent(updates="trial_jobs = 2\n")
    agent.start()
    rig.watcher.until_state("1.0.0", "TRIAL")
    first = rig.watcher.run("one")
    assert first.outputs == (b"x<1.0.0>",)
    assert first.module == "append@1.0.0 (trial)"
    rig.watcher.run("two")
    rig.watcher.until_state("1.0.0", "ACTIVE")
    assert rig.watcher.run("three").module == "append@1.0.0"
    assert rig.watcher.reported[-1].deployments == {"kitchen": 1}
