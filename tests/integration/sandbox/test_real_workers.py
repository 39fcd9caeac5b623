"""Life in the pool with real workers: origins of modules, cancel, parallel jobs, damage, the compiler's end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waspi._wasmer import wat2wasm
from waspi.fault import Fault
from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.model.result import ModuleOrigin
from waspi.model.state import JobState
from waspi.sandbox.settings import ModuleBounds, PoolSettings
from waspi.sandbox.supervisor import Supervisor

from .rig import children

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rig import Rig

SUFFIX = b"<---- This is your string"


def put(rig: Rig, guests: Path, name: str = "append-wat") -> str:
    return rig.cache.put((guests / f"{name}.wasm").read_bytes())


def until_running(rig: Rig, count: int = 1) -> None:
    rig.until(lambda: sum(1 for worker in rig.pool._workers.all if worker.assignment) == count)


def test_the_input_string_compiled_then_warm_then_aot(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    done = rig.run(digest, b"The input string")
    assert done.outputs == (b"The input string<---- This is your string",)
    assert done.state is JobState.SUCCEEDED
    assert done.usage.module is ModuleOrigin.COMPILED
    assert done.usage.fuel > 0
    assert done.usage.memory_bytes >= 65536
    assert rig.run(digest, b"").usage.module is ModuleOrigin.WARM
    os.kill(rig.pids()[0], signal.SIGKILL)
    rig.until(lambda: rig.alive == 0)
    assert rig.run(digest, b"").usage.module is ModuleOrigin.AOT


def test_two_jobs_wait_for_one_compilation(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=2))
    digest = put(rig, guests)
    jobs = [rig.submit(digest, b"a"), rig.submit(digest, b"b")]
    compilers = children()
    origins = [rig.result(job).usage.module for job in jobs]
    assert origins[0] is ModuleOrigin.COMPILED
    assert origins[1] in {ModuleOrigin.AOT, ModuleOrigin.WARM}
    assert len(compilers) >= 1


def test_module_is_prepared_ahead_of_its_first_job(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    told: list[object] = []
    rig.pool.prepare(digest, DEFAULT_ABI, told.append)
    rig.until(lambda: bool(told))
    rig.pool.prepare(digest, DEFAULT_ABI, told.append)
    rig.until(lambda: len(told) == 2)
    assert told == [None, None]
    assert rig.run(digest, b"x").usage.module is ModuleOrigin.AOT
    bad = rig.cache.put(b"no module")
    rig.pool.prepare(bad, DEFAULT_ABI, told.append)
    rig.until(lambda: len(told) == 3)
    assert told[2].kind == "invalid-module"  # type: ignore[attr-defined]
    rig.until(lambda: rig.pool._compiles._child is None)


def test_batch_shares_fuel_time_and_log(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    many = rig.run(digest, *[b"%d" % number for number in range(300)])
    assert many.outputs == tuple(b"%d%s" % (number, SUFFIX) for number in range(300))
    one = rig.run(digest, b"1")
    enough = Limits(fuel=one.usage.fuel * 3, time_ms=5_000)
    assert rig.run(digest, b"1", b"1", b"1", limits=enough).state is JobState.SUCCEEDED
    done = rig.run(digest, b"1", b"1", b"1", b"1", limits=enough)
    assert done.error is not None
    assert done.error.kind == "fuel-limit"
    assert done.usage.fuel >= one.usage.fuel * 3


def test_outputs_of_a_job_are_bounded_together(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=1, answer_bytes=1000))
    digest = put(rig, guests)
    assert rig.run(digest, b"x" * 400).state is JobState.SUCCEEDED
    done = rig.run(digest, b"x" * 400, b"x" * 400, b"x" * 400)
    assert done.error is not None
    assert done.error.kind == "output-limit"
    assert rig.run(digest, b"x").usage.module is ModuleOrigin.WARM


def test_trace_stands_in_the_log(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    done = rig.run(put(rig, guests), b"The input string", trace=True)
    for key in (b"pointer=", b"input_size=16", b"memory_address=", b"buffer_address=", b"new_size=41"):
        assert key in done.log


def test_large_input_and_output(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    data = os.urandom(3 * 1024 * 1024)
    assert rig.run(put(rig, guests), data).outputs == (data + SUFFIX,)


def test_cancel_stops_a_running_guest_and_spares_its_worker(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    loop, good = put(rig, guests, "hostile/loop_in_entry"), put(rig, guests)
    rig.run(good, b"")
    worker = rig.pids()
    for _ in range(5):
        job = rig.submit(loop, b"x")
        until_running(rig)
        assert rig.pool.cancel(job)
        done = rig.result(job)
        assert done.state is JobState.CANCELED
        assert done.error is not None
        assert done.error.kind == "canceled"
        assert rig.run(good, b"").usage.module is ModuleOrigin.WARM
    assert rig.pids() == worker  # interrupted, not killed


def test_cancel_while_the_module_is_being_compiled(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    job = rig.submit(digest, b"x")
    assert rig.pool.cancel(job)
    assert rig.result(job).state is JobState.CANCELED
    rig.until(lambda: rig.pool._compiles._child is None)
    assert not rig.cache.has_artifact(digest)  # nobody needed it: the compiler was ended
    assert rig.run(digest, b"x").state is JobState.SUCCEEDED


def test_two_jobs_run_at_once_and_each_ends_alone(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=2))
    loop = put(rig, guests, "hostile/loop_in_entry")
    jobs = [rig.submit(loop, b"x"), rig.submit(loop, b"x")]
    until_running(rig, 2)
    assert len(set(rig.pids())) == 2
    assert rig.pool.cancel(jobs[0])
    assert rig.result(jobs[0]).state is JobState.CANCELED
    assert rig.pool.free == 1
    assert [done.job_id for done in rig.done] == [jobs[0]]
    assert rig.pool.cancel(jobs[1])
    assert rig.result(jobs[1]).state is JobState.CANCELED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_fault_30_worker_killed_in_mid_job(rigs: Callable[..., Rig], guests: Path, number: signal.Signals) -> None:
    rig = rigs()
    loop, good = put(rig, guests, "hostile/loop_in_entry"), put(rig, guests)
    job = rig.submit(loop, b"x")
    until_running(rig)
    os.kill(rig.pids()[0], number)
    if number is not signal.SIGKILL:
        os.kill(rig.pids()[0], signal.SIGKILL)  # a handler of the engine's may swallow a stray one
    done = rig.result(job)
    assert done.state is JobState.FAILED
    assert done.error is not None
    assert done.error.kind == "device"
    assert rig.run(good, b"x").state is JobState.SUCCEEDED


@pytest.mark.parametrize("damage", ["flipped", "swapped", "empty-header"])
def test_damaged_artifact_is_rebuilt(rigs: Callable[..., Rig], guests: Path, damage: str) -> None:
    rig = rigs(PoolSettings(size=1, warm_modules=1))
    digest, other = put(rig, guests), put(rig, guests, "append-c")
    rig.run(digest, b"x")
    rig.run(other, b"x")  # and the first is no longer warm
    path = rig.cache._artifact_path(digest)
    artifact = bytearray(path.read_bytes())
    if damage == "flipped":
        artifact[len(artifact) // 2] ^= 1
    elif damage == "swapped":
        artifact = bytearray(rig.cache._artifact_path(other).read_bytes())
        rig.cache._entries[digest].artifact_bytes = len(artifact)
    else:
        artifact[:16] = bytes(16)
    path.write_bytes(artifact)
    done = rig.run(digest, b"x")
    assert done.outputs == (b"x" + SUFFIX,)
    assert done.usage.module is ModuleOrigin.COMPILED


def test_least_recently_used_module_is_unloaded(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=1, warm_modules=2))
    names = ("append-wat", "append-c", "append-zig")
    one, two, three = (put(rig, guests, name) for name in names)
    for digest in (one, two, one, three):
        rig.run(digest, b"x")
    origins = [rig.run(digest, b"x").usage.module for digest in (one, three, two)]
    assert origins == [ModuleOrigin.WARM, ModuleOrigin.WARM, ModuleOrigin.AOT]


def test_damaged_module_is_told(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    rig.cache._module_path(digest).write_bytes(b"\0asm rotten")
    done = rig.run(digest, b"x")
    assert done.error is not None
    assert done.error.kind == "storage"
    assert rig.run(put(rig, guests), b"x").state is JobState.SUCCEEDED


def test_unknown_module(rigs: Callable[..., Rig]) -> None:
    rig = rigs()
    done = rig.run("0" * 64, b"x")
    assert done.error is not None
    assert done.error.kind == "unknown-module"


def _compiler(rig: Rig) -> Supervisor:
    assert rig.pool._compiles._child is not None
    return rig.pool._compiles._child


def test_compiler_that_hangs_is_killed(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    digest = put(rig, guests)
    job = rig.submit(digest, b"x")
    rig.until(lambda: _compiler(rig).state == "BUSY")
    os.kill(_compiler(rig).pid, signal.SIGSTOP)
    rig.clock.ahead += 30.0
    done = rig.result(job)
    assert done.error is not None
    assert (done.state, done.error.kind) == (JobState.FAILED, "compile")
    assert "30000 ms" in done.error.message


def test_compiler_that_is_killed(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    job = rig.submit(put(rig, guests), b"x")
    rig.until(lambda: _compiler(rig).state == "BUSY")
    os.kill(_compiler(rig).pid, signal.SIGKILL)
    done = rig.result(job)
    assert done.error is not None
    assert done.error.kind == "compile"
    assert "SIGKILL" in done.error.message


def test_address_space_of_a_worker_is_bounded(rigs: Callable[..., Rig], guests: Path) -> None:
    mib = 1024 * 1024
    rig = rigs(PoolSettings(size=1, memory_bytes=64 * mib))
    bomb = put(rig, guests, "hostile/memory_grow_bomb")
    assert rig.run(bomb, b"x", limits=Limits(memory_bytes=64 * mib)).usage.memory_bytes == 64 * mib
    limits = (Path("/proc") / str(rig.pids()[0]) / "limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max address space"))
    assert line.split()[3] == str(320 * mib)


def test_compiler_is_gone_after_its_work(rigs: Callable[..., Rig], guests: Path) -> None:
    others = children()
    rig = rigs()
    rig.run(put(rig, guests), b"x")
    rig.until(lambda: children() - others == set(rig.pids()))


def test_other_entry_and_missing_export(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs()
    done = rig.run(put(rig, guests), b"x", abi=Abi(entry="no_such"))
    assert done.error is not None
    assert done.error.kind == "missing-export"
    assert "no_such" in done.error.message


def test_hundreds_of_jobs_leave_nothing_behind(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=2))
    digest, trap = put(rig, guests), put(rig, guests, "hostile/unreachable")
    rig.run(digest, b"x")
    rig.run(trap, b"x")
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for number in range(400):
        while rig.pool.free == 0:
            rig.turn()
        rig.submit(trap if number % 7 == 0 else digest, b"x", limits=DEFAULT_LIMITS)
    rig.until(lambda: rig.pool.free == 2)
    assert len(rig.done) == 402
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 4  # noqa: PTH208 - at most one worker more


GROWING = range(40, 65, 2)


def test_slowly_growing_memory_limits_do_not_use_up_a_worker(rigs: Callable[..., Rig], guests: Path) -> None:
    """Regions of memory that wait for the next run count against the worker's address space."""
    rig = rigs(PoolSettings(size=1, memory_bytes=64 << 20))
    digest = put(rig, guests)
    for mib in (*GROWING, *reversed(GROWING)):
        done = rig.run(digest, b"x", limits=Limits(memory_bytes=mib << 20, time_ms=20_000))
        assert done.state is JobState.SUCCEEDED, (mib, done.error)


def test_a_worker_without_address_space_says_so_and_runs_the_next_job(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(
        PoolSettings(size=1, memory_bytes=1, worker_overhead_bytes=200 << 20, module_memory_bytes=1 << 30),
    )
    large = rig.cache.put(
        wat2wasm(b"""(module (memory (export "memory") 8000)
        (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "append") (param i32 i32) (result i32) (local.get 1)))""")
    )
    done = rig.run(large, b"x", limits=Limits(memory_bytes=512 << 20, time_ms=20_000))
    assert done.state is JobState.FAILED
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("device", Fault.DEVICE)
    assert "no memory left for the run" in done.error.message
    pids = rig.pids()
    small = put(rig, guests)
    assert rig.run(small, b"x", limits=Limits(memory_bytes=1 << 20, time_ms=20_000)).outputs == (b"x" + SUFFIX,)
    assert rig.pids() == pids


def test_bounds_of_modules_reach_the_compiler(rigs: Callable[..., Rig]) -> None:
    rig = rigs(PoolSettings(size=1, bounds=ModuleBounds(functions=2, data_segments=1)))
    for text, said in [
        (b"(module (func) (func) (func))", "3 functions, the bound is 2"),
        (b'(module (memory 1) (data "a") (data "b"))', "2 data segments, the bound is 1"),
    ]:
        done = rig.run(rig.cache.put(wat2wasm(text)), b"")
        assert done.error is not None
        assert done.error.kind == "module-too-large"
        assert said in done.error.message
