"""The next state is on the disk before the act that it names: nothing is done that the register does not know of."""

from __future__ import annotations

import json
from pathlib import Path

from tests.crash.faultfs import FaultFs
from tests.crash.power_cut import Change, changes
from tests.integration.updates.device.rig import MODULE, Rig
from waspi.updates.modules_file import FILE


def test_fault_33_each_state_is_on_the_disk_before_its_act(rig: Rig, tmp_path: Path) -> None:
    log = tmp_path / "log"
    rig.desk.release("1.0.0")
    rig.depot()
    agent = rig.agent(updates="trial_jobs = 1\n")
    faults = FaultFs(agent.state, tmp_path, log=log, lazy=True)
    faults.disarm()
    agent.start(**faults.environment())
    rig.watcher.until_state("1.0.0", "TRIAL")
    on_disk_in_trial = state_of((agent.state / "updates" / FILE).read_bytes())
    assert rig.watcher.run("one").module == "append@1.0.0 (trial)"
    rig.watcher.until_state("1.0.0", "ACTIVE")
    agent.stop()
    faults.close()
    assert on_disk_in_trial == "TRIAL"
    assert story(list(changes(log)), agent.state) == [
        "FETCHED",
        "modules/*.wasm",
        "VERIFIED",
        "modules/*.aot",
        "COMPILED",
        "TESTED",
        "TRIAL",
        "ACTIVE",
    ]


def state_of(register: bytes) -> str:
    (life,) = json.loads(register)["modules"][MODULE]
    return str(life["state"])


def story(record: list[Change], state: Path) -> list[str]:
    """States as the register came to say them, and files of the release as they got their names."""
    written: dict[Path, bytes] = {}
    told = []
    for change in record:
        if change.kind == "C":
            written[change.path] = b""
        elif change.kind == "W":
            before = written.get(change.path, b"")
            written[change.path] = before[: change.offset] + change.data
        elif change.kind == "R" and change.second is not None:
            written[change.second] = written.pop(change.path, b"")
            if change.second.name == FILE:
                told.append(state_of(written[change.second]))
            elif change.second.suffix in {".wasm", ".aot"}:
                assert change.second.is_relative_to(state.resolve())
                told.append(f"{change.second.parent.name}/*{change.second.suffix}")
    return told
