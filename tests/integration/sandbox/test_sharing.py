"""Who waits for whom: unseen modules and warm ones, and which jobs share a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waspi.errors import QueueFullError
from waspi.model.state import JobState
from waspi.sandbox.settings import Isolation, PoolSettings
from waspi.sandbox.task import Task

from .rig import COMPILER, put_artifact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .rig import Rig

    Fake = Callable[..., tuple[Rig, str]]


def test_fault_45_unseen_modules_take_no_workers_place(rigs: Callable[..., Rig], guests: Path) -> None:
    """Four of them used to stop all warm jobs of four idle workers."""
    rig = rigs(PoolSettings(size=2, compiler_command=("/bin/sleep", "1000")))
    warm = rig.cache.put((guests / "append-wat.wasm").read_bytes())
    real = PoolSettings().compiler_command
    rig.pool._compiles._settings = PoolSettings(size=2, compiler_command=real)
    assert rig.run(warm, b"x").state is JobState.SUCCEEDED
    rig.pool._compiles._settings = PoolSettings(size=2, compiler_command=("/bin/sleep", "1000"))
    unseen = [rig.submit(rig.cache.put(b"\0asm %d" % number), b"x") for number in range(8)]
    assert rig.pool.free == 2
    for _ in range(20):
        assert rig.run(warm, b"x").state is JobState.SUCCEEDED
    for job in unseen:
        assert rig.pool.cancel(job)
        assert rig.result(job).state is JobState.CANCELED
    assert rig.pool._compiling == rig.pool._compiling_bytes == 0


def test_after_the_compiler_the_highest_priority_goes_first(fake: Fake) -> None:
    rig, digest = fake(size=1, compiler_command=(*COMPILER, __file__))
    hanging = rig.submit(digest, b"hang")
    rig.until(lambda: any(worker.assignment is not None for worker in rig.pool._workers.all))
    unseen = rig.cache.put(b"another module")
    names = {priority: rig.submit(unseen, b"x", priority=priority) for priority in (-5, 0, 7, 1)}
    rig.until(lambda: len(rig.pool._for_worker) == 4)
    assert not rig.pool.takes(rig.task(digest, priority=7))
    names[9] = rig.submit(digest, b"x", priority=9)
    rig.pool.cancel(hanging)
    rig.until(lambda: len(rig.done) == 6)
    assert [done.job_id for done in rig.done[1:]] == [names[priority] for priority in (9, 7, 1, 0, -5)]


def test_tasks_that_wait_for_the_compiler_are_bounded(rigs: Callable[..., Rig]) -> None:
    rig = rigs(PoolSettings(size=1, compiler_command=("/bin/sleep", "1000")))
    large = rig.cache.put(b"a module")
    jobs = []
    while rig.pool.takes(rig.task(large)):
        jobs.append(rig.submit(large, bytes(1 << 20)))
    assert len(jobs) == 16
    with pytest.raises(QueueFullError):
        rig.submit(large, b"")
    for job in jobs:
        rig.pool.cancel(job)
        rig.result(job)
    while rig.pool.takes(rig.task(large)):
        jobs.append(rig.submit(large, b""))
    assert len(jobs) == 16 + 256


def submit(rig: Rig, digest: str, publisher: str, data: bytes = b"x") -> str:
    task = rig.task(digest, data, publisher=publisher)
    rig.pool.submit(task)
    return task.job_id


@pytest.mark.parametrize(
    ("isolation", "workers"),
    [(Isolation.SHARED, 1), (Isolation.MODULE, 2), (Isolation.PUBLISHER, 2), (Isolation.JOB, 4)],
)
def test_which_jobs_share_a_worker(fake: Fake, isolation: Isolation, workers: int) -> None:
    rig, digest = fake(size=8, isolation=isolation)
    other = rig.cache.put(b"another module")
    put_artifact(rig.cache, other, b"its artifact")
    ran_in: dict[int, set[tuple[str, str]]] = {}
    seen: dict[int, None] = {}
    for module, publisher in ((digest, "alice"), (other, "alice"), (digest, "bob"), (other, "bob")):
        job = submit(rig, module, publisher)
        rig.until(lambda: any(worker.assignments for worker in rig.pool._workers.all))
        (worker,) = [worker for worker in rig.pool._workers.all if worker.assignments]
        ran_in.setdefault(worker.pid, set()).add((module, publisher))
        seen[worker.pid] = None
        assert rig.result(job).state is JobState.SUCCEEDED
    assert len(seen) == workers
    for ran in ran_in.values():
        assert len({publisher for _, publisher in ran}) == 1 or isolation in {Isolation.SHARED, Isolation.MODULE}
        assert len({module for module, _ in ran}) == 1 or isolation in {Isolation.SHARED, Isolation.PUBLISHER}


def test_an_idle_worker_of_another_publisher_makes_room(fake: Fake) -> None:
    rig, digest = fake(size=1)
    assert rig.result(submit(rig, digest, "alice")).state is JobState.SUCCEEDED
    first = rig.pids()
    assert rig.result(submit(rig, digest, "bob")).state is JobState.SUCCEEDED
    assert rig.pids() != first
    assert rig.alive == 1


def test_no_publisher_waits_for_ever_behind_another(fake: Fake) -> None:
    """Both wait for the one worker, which is of the other's: it makes room, although there is work for it."""
    rig, digest = fake(size=1, compiler_command=(*COMPILER, __file__))
    hanging = submit(rig, digest, "alice", b"hang")
    rig.until(lambda: bool(rig.pool._workers.occupied))
    unseen = rig.cache.put(b"another module")
    bob, alice = submit(rig, unseen, "bob"), submit(rig, unseen, "alice")
    rig.until(lambda: len(rig.pool._for_worker) == 2)
    rig.pool.cancel(hanging)
    rig.until(lambda: len(rig.done) == 3)
    assert [done.job_id for done in rig.done] == [hanging, bob, alice]
    assert [done.state for done in rig.done[1:]] == [JobState.SUCCEEDED] * 2


def test_jobs_of_different_publishers_do_not_wait_behind_each_other(fake: Fake) -> None:
    rig, digest = fake(size=1)
    for _ in range(100):
        if rig.pool._workers._depth(digest) > 1:
            break
        rig.run(digest, b"x")
    hanging = submit(rig, digest, "", b"hang")
    assert rig.pool.takes(rig.task(digest))
    assert not rig.pool.takes(rig.task(digest, publisher="bob"))
    rig.pool.cancel(hanging)


def test_groups() -> None:
    task = Task("job", "digest", publisher="alice")
    assert [isolation.group_of(task) for isolation in Isolation] == ["", "digest", "alice", "job"]
    assert PoolSettings().isolation is Isolation.PUBLISHER
