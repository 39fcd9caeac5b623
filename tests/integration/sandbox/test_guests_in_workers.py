"""Hostile guests through the whole sandbox: compiler process, artifact cache, locked-down worker; FAULTS 25-29, 32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.guests.hostile_case import CASES, INPUT, LIMITS, limits_of
from waspi.errors import Fault
from waspi.model.limits import Limits
from waspi.model.state import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.sandbox.task import Done

    from .rig import Rig


def cases(*faults: int) -> pytest.MarkDecorator:
    names = [name for name, case in CASES.items() if case.get("fault") in faults]
    return pytest.mark.parametrize("name", names)


def run_case(rig: Rig, guests: Path, name: str) -> Done:
    digest = rig.cache.put((guests / "hostile" / f"{name}.wasm").read_bytes())
    return rig.run(digest, INPUT, limits=Limits(**limits_of(CASES[name])))


def check(rig: Rig, guests: Path, name: str) -> None:
    """It ends as expected, and the next job runs in the same worker."""
    digest = rig.cache.put((guests / "append-wat.wasm").read_bytes())
    rig.run(digest, INPUT)
    workers = rig.pids()
    done = run_case(rig, guests, name)
    kind = "none" if done.error is None else done.error.kind
    assert kind in CASES[name]["kinds"], done
    if done.error is not None:
        assert done.state is (JobState.TIMED_OUT if kind == "time-limit" else JobState.FAILED)
        assert done.error.fault is (Fault.DEVICE if kind == "compile" else Fault.GUEST)
        assert done.outputs == ()
        assert done.error.message.isprintable()
        assert CASES[name].get("names", "").split(".")[-1] in done.error.message
    assert rig.run(digest, INPUT).outputs == (INPUT + b"<---- This is your string",)
    assert rig.pids() == workers


@cases(25)
def test_fault_25_endless_loop_is_stopped_in_time(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


@cases(26)
def test_fault_26_bombs_are_capped(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


@cases(27)
def test_fault_27_compile_bombs_are_refused(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


@cases(28)
def test_fault_28_what_the_host_lacks_is_refused_by_name(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


@cases(29)
def test_fault_29_pointers_and_sizes_are_checked(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


@cases(32)
def test_fault_32_each_trap_has_its_kind(cell: Rig, guests: Path, name: str) -> None:
    check(cell, guests, name)


def resident_kib(pid: int | str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def test_fault_26_memory_of_agent_and_worker_is_flat_under_grow_bombs(cell: Rig, guests: Path) -> None:
    bombs = ("memory_grow_bomb", "memory_grow_and_touch", "table_grow_bomb", "log_flood")

    def round_of_bombs() -> None:
        for name in bombs:
            assert run_case(cell, guests, name).error is None

    for _ in range(3):
        round_of_bombs()
    worker = cell.pids()[0]
    before = resident_kib(worker), resident_kib("self")
    for _ in range(25):
        round_of_bombs()
    assert cell.pids() == [worker]
    after = resident_kib(worker), resident_kib("self")
    # 50 bombs of 16 MiB each ran: one that stayed would show.
    assert after[0] - before[0] < LIMITS["memory_bytes"] // 1024 // 2
    assert after[1] - before[1] < 2048


def test_fault_27_bomb_is_not_compiled_for_each_job(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    first = run_case(rig, guests, "many_functions")
    rig.until(lambda: rig.pool._compiles._child is None)
    digest = rig.cache.digests()[-1]
    job = rig.submit(digest, INPUT)
    assert rig.pool._compiles._child is None  # no compiler was started
    second = rig.result(job)
    assert second.error == first.error
    rig.clock.ahead += 60.0
    job = rig.submit(digest, INPUT)
    assert rig.pool._compiles._child is not None  # a verdict is not for ever
    assert rig.result(job).error == first.error
    rig.until(lambda: rig.pool._compiles._child is None)
