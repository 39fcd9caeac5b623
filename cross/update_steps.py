"""Updates over the air on the whole board: the steps that need a signed repository and a depot outside."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from cross import desk
from cross.desk import Desk
from cross.failure import Failure
from cross.steps import FLEET, PASSWORD, USER, Steps

UPDATES = """[updates]
root = "1.root.json"
spread_s = 0
range_kib = 32
trial_jobs = 1
"""
SERVING = {"TRIAL", "ACTIVE"}
LARGE_KIB, SMALL_KIB = 1024, 16
"""Sizes of releases; half of it goes over the wire, since the depot packs what the guest is padded with."""
DOWNLOADED = 200_000
"""Bytes on the wire after which the power is cut in a download."""


class UpdateSteps:
    """A desk beside the board of ``steps``, whose last step must have left the agent online."""

    def __init__(self, steps: Steps, folder: Path) -> None:
        self._steps = steps
        self._folder = folder / "desk"
        self._desk: Desk | None = None
        self._jobs = 0
        self._serving = ""

    def close(self) -> None:
        """Leave nothing running."""
        if self._desk is not None:
            self._desk.close()

    def update(self) -> None:
        """A signed release comes over the air: fetched, compiled, tested, tried, and then it serves."""
        self._desk = Desk(self._folder)
        self._desk.serve(self._steps.broker_port, FLEET, USER, PASSWORD)
        root = base64.encodebytes(self._desk.root).decode()
        self._steps.machine.run(f"base64 -d > /etc/waspi/1.root.json <<'END'\n{root}END")
        self._steps.provision(UPDATES)
        self._steps.machine.run("systemctl restart waspi", timeout=120)
        since = self._release("1.0.0", SMALL_KIB)
        self._arrive("1.0.0", since)
        self._steps.figures["a release published to active"] = f"{time.monotonic() - since:.0f} s"

    def fault_33_power_cut_in_a_download(self) -> None:
        """The plug is pulled in the middle of an update's download: the old release serves, then the new one."""
        since = self._release("2.0.0", LARGE_KIB)
        came = self._steps.outsider.chunks(DOWNLOADED, since=since, timeout=120)
        self._cut("2.0.0", f"{came // 1000} kB of a download were there", {"1.0.0"})

    def fault_33_power_cut_in_a_golden_test(self) -> None:
        """The plug is pulled while a new release runs its golden pair: the old one serves, then the new one."""
        since = self._release("3.0.0", SMALL_KIB)
        self._steps.outsider.module_state(desk.NAME, "3.0.0", {"COMPILED"}, since=since, timeout=120)
        self._cut("3.0.0", "a golden pair ran", {"2.0.0"})

    def fault_33_power_cut_in_a_trial(self) -> None:
        """The plug is pulled when a new release has begun to serve: either one serves, then the new one."""
        since = self._release("4.0.0", SMALL_KIB)
        self._steps.outsider.module_state(desk.NAME, "4.0.0", {"TRIAL"}, since=since, timeout=120)
        self._cut("4.0.0", "a trial had begun", {"3.0.0", "4.0.0"})

    def _release(self, version: str, kib: int) -> float:
        """Publish a release; the moment before."""
        if self._desk is None:
            raise Failure("there is no desk: the first update failed")
        since = time.monotonic()
        self._desk.release(version, kib=kib, spins=self._steps.spins // 2)
        return since

    def _cut(self, version: str, moment: str, allowed: set[str]) -> None:
        since = self._steps.power_cycle()
        served = self._run()
        if served not in allowed:
            raise Failure(f"after the power cut {served or 'nothing that was released'} answers, not {allowed}")
        self._steps.figures[f"power cut when {moment}"] = f"{served} served, then {version}"
        self._arrive(version, since)

    def _arrive(self, version: str, since: float) -> None:
        """Wait until ``version`` is tried and active, and serves."""
        state = self._steps.outsider.module_state(desk.NAME, version, SERVING, since=since, timeout=180)
        if state == "TRIAL":
            self._run()  # which ends the trial
            self._steps.outsider.module_state(desk.NAME, version, {"ACTIVE"}, since=since, timeout=60)
        served = self._run()
        if served != version:
            raise Failure(f"{version} is active, and {served} answers")

    def _run(self) -> str:
        """Run a job by the module's name; the version that answered."""
        self._jobs += 1
        job = f"by-name-{self._jobs}"
        self._steps.outsider.submit(job, desk.NAME, desk.INPUT.encode())
        result = self._steps.outsider.result(job, timeout=120)
        output = result.get("output", b"")
        versions = (f"{major}.0.0" for major in range(1, 5))
        served = next((version for version in versions if output == desk.answer(version)), "")
        if result["state"] != "SUCCEEDED" or not served:
            raise Failure(f"{job}: {result}")
        return served
