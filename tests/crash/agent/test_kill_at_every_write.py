"""FAULT 6: the whole agent is killed at every write of its state folder in turn, and FAULTS 1-5 hold each time.

By default a sample of the writes, drawn with a seed that is printed; ``WASPI_CRASH_ALL=1`` takes every one,
``WASPI_SEED=n`` the sample of that seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.agent.crash_world import JOBS, CrashWorld, Report
from tests.crash.faultfs import Mode, library
from tests.integration.agent.conftest import APPEND, LOOP
from tests.simulators.mosquitto import Mosquitto
from waspi._wasmer import wat2wasm

SAMPLE = 36
AT_ONCE = 3
"""Devices at a time: most of a life is waiting."""


def test_fault_06_the_agent_is_killed_at_every_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("WASPI_SEED", random.randrange(1 << 32)))  # noqa: S311 - a seed
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    wasm = {"append": wat2wasm(APPEND), "loop": wat2wasm(LOOP)}
    report = Report()
    library()
    with Mosquitto(tmp_path / "broker") as broker:

        def live(mode: Mode, at: int) -> int:
            world = CrashWorld(tmp_path / f"{mode.name.lower()}-{at}", broker.url, f"{mode.value}-{at}", wasm)
            try:
                writes = world.run(mode, at)
                world.check(report)
            finally:
                world.close()
            return writes

        total = live(Mode.COUNT, 0)
        assert report.kills == 0
        assert report.starts >= JOBS - 2, f"two jobs may be canceled before they run: {report}"
        tries = [(Mode.KILL, at) for at in range(1, total + 1)]
        if "WASPI_CRASH_ALL" not in os.environ:
            tries = chance.sample(tries, min(SAMPLE * 2 // 3, total))
            tries += [
                (mode, chance.randrange(1, total)) for mode in (Mode.TORN, Mode.KILL_AFTER) for _ in range(SAMPLE // 6)
            ]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda one: live(*one), sorted(set(tries))))
    report.writes = len(set(tries))
    with capsys.disabled():
        print(f"\ncrash suite: {total} writes in one life; {report}; seed {seed}")
    record_property("report", str(report))
    assert not report.faults, f"seed {seed}: {report.faults}"
    assert report.kills > report.writes * 0.8, "the shim kills hardly anybody; is it loaded?"
