"""Several tasks in one worker: each is answered once, and none waits for long behind another."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from waspi import _wasmer
from waspi.model.limits import Limits
from waspi.model.state import JobState
from waspi.sandbox.settings import PoolSettings

from .rig import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .rig import Rig

    Fake = Callable[..., tuple[Rig, str]]

SPIN = """
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param $at i32) (param $size i32) (result i32)
    (if (local.get $size) (then (loop $again (br $again))))
    (local.get $size)))
"""
"""Ends at once without input, else never."""


class Notes:
    """What the fake worker has begun."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "begun"
        self._path.touch()

    def word(self, word: str, text: str) -> bytes:
        """An input that makes it write down ``text`` and do as ``word`` says."""
        return f"{word} {self._path} {text}".encode()

    def read(self) -> list[str]:
        return self._path.read_text().split()

    def wait_for(self, text: str) -> None:
        """Without turning the pool's loop."""
        give_up = time.monotonic() + PATIENCE_S
        while text not in self.read():
            assert time.monotonic() < give_up
            os.sched_yield()


def learn(rig: Rig, digest: str, data: bytes = b"") -> None:
    """Run it until it is known for short: on a busy machine one run may take long."""
    for _ in range(1000):
        if rig.pool._workers._depth(digest) == 8:
            return
        rig.run(digest, data)
    raise AssertionError("a run of nothing takes long every time")


def lined_up(fake: Fake, **settings: object) -> tuple[Rig, str]:
    """A rig whose one worker has run the module, so that more of it may line up there."""
    rig, digest = fake(**settings)
    assert not rig.pool.takes(rig.task(digest)) or rig.pool.free == 1
    learn(rig, digest, b"first")
    return rig, digest


def test_short_tasks_line_up_and_are_answered_in_order(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    before = len(rig.done)
    jobs = []
    while rig.pool.takes(rig.task(digest)):
        jobs.append(rig.submit(digest, b"number %d" % len(jobs)))
    assert len(jobs) == 8
    assert rig.pool.free == 0
    rig.until(lambda: len(rig.done) == before + 8)
    assert [done.job_id for done in rig.done[before:]] == jobs
    assert [done.outputs for done in rig.done[before:]] == [(b"number %d" % number,) for number in range(8)]
    assert rig.alive == 1
    assert rig.pool.free == 1


def test_short_modules_line_up_and_long_ones_do_not(fake: Fake) -> None:
    workers = fake()[0].pool._workers
    assert workers._depth("unknown") == 1
    for digest, run_us, depth in (("a", 60, 8), ("b", 1_000, 4), ("c", 3_000, 1), ("d", 10_000_000, 1), ("e", 0, 8)):
        workers.note(digest, run_us)
        assert workers._depth(digest) == depth


def test_one_long_run_counts_at_once_and_is_forgotten_slowly(fake: Fake) -> None:
    workers = fake()[0].pool._workers
    workers.note("a", 60)
    workers.note("a", 3_000)
    depths = [workers._depth("a")]
    for _ in range(20):
        workers.note("a", 60)
        depths.append(workers._depth("a"))
    assert depths == sorted(depths)
    assert (depths[0], depths[-1]) == (1, 8)


def test_the_number_of_modules_whose_run_time_is_known_is_bounded(fake: Fake) -> None:
    workers = fake()[0].pool._workers
    for number in range(1000):
        workers.note(f"{number}", 1)
    assert (workers._depth("0"), workers._depth("999"), len(workers._run_us)) == (1, 8, 64)


def test_only_modules_that_the_worker_has_run_line_up(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    rig.submit(digest, b"hang")
    assert rig.pool.takes(rig.task(digest))
    worker = rig.pool._workers.all[0]
    assert worker.takes_behind(digest, "")
    assert not worker.takes_behind("0" * 64, "")
    assert not worker.takes_behind(digest, "another publisher")


def test_large_tasks_pass_in_a_line(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    data = [os.urandom(1 << 20) for _ in range(6)]
    jobs = [rig.submit(digest, each) for each in data]
    assert [rig.result(job).outputs for job in jobs] == [(each,) for each in data]


def test_fault_30_those_behind_a_job_that_kills_its_worker_run_elsewhere(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    words = ("fine", "segv", "fine", "fine")
    jobs = [rig.submit(digest, notes.word(word, f"run-{place}")) for place, word in enumerate(words)]
    states = [rig.result(job).state for job in jobs]
    assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert notes.read() == ["run-0", "run-1", "run-2", "run-3"]


def test_garbage_ends_the_task_at_the_head_and_no_other(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    words = ("wrong-count", "fine", "fine")
    jobs = [rig.submit(digest, notes.word(word, f"run-{place}")) for place, word in enumerate(words)]
    head = rig.result(jobs[0]).error
    assert head is not None
    assert (head.kind, "garbage" in head.message) == ("worker", True)
    assert [rig.result(job).state for job in jobs[1:]] == [JobState.SUCCEEDED] * 2
    assert len({done.job_id for done in rig.done}) == len(rig.done)


def test_tasks_that_were_moved_once_wait_in_no_worker_again(fake: Fake) -> None:
    """A worker that takes tasks and never ends any would else keep them going round."""
    rig, digest = lined_up(fake)
    jobs = [rig.submit(digest, b"segv")] + [rig.submit(digest, b"%d" % number) for number in range(3)]
    longest = 0
    while not all(any(done.job_id == job for done in rig.done) for job in jobs):
        rig.turn()
        if any(done.job_id == jobs[0] for done in rig.done):
            longest = max(longest, *(len(worker.assignments) for worker in rig.pool._workers.all), 0)
    assert longest == 1


def test_a_worker_that_is_killed_from_outside_fails_one_of_its_line(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    jobs = [rig.submit(digest, notes.word(word, f"run-{n}")) for n, word in enumerate(("hang", "fine", "fine"))]
    rig.pool.flush()
    notes.wait_for("run-0")
    os.kill(rig.pids()[0], signal.SIGKILL)
    assert [rig.result(job).state for job in jobs] == [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert notes.read() == ["run-0", "run-1", "run-2"]


def test_cancel_of_a_task_in_a_line_that_stands_still(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake, grace_ms=200)
    notes = Notes(tmp_path)
    ahead = rig.submit(digest, notes.word("hang", "ahead"))
    behind = rig.submit(digest, notes.word("fine", "behind"))
    assert rig.pool.cancel(behind)
    assert rig.pool.cancel(ahead)
    assert rig.result(behind).state is JobState.CANCELED
    assert rig.result(ahead).state is JobState.CANCELED
    assert notes.read() == ["ahead"]


def spinning(rigs: Callable[..., Rig], size: int) -> tuple[Rig, str]:
    """A rig with real workers, one of which knows a module that ends at once or never."""
    rig = rigs(PoolSettings(size=size))
    digest = rig.cache.put(_wasmer.wat2wasm(SPIN.encode()))
    assert rig.run(digest, b"").state is JobState.SUCCEEDED
    learn(rig, digest)
    return rig, digest


def test_a_task_behind_one_that_takes_long_goes_to_another_worker(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 2)
    long = Limits(time_ms=60_000)
    endless = rig.submit(digest, b"x", limits=long)
    assert rig.run(digest, b"").state is JobState.SUCCEEDED
    learn(rig, digest)
    other = rig.submit(digest, b"x", limits=long)
    behind = [rig.submit(digest, b"") for _ in range(3)]
    assert sorted(len(worker.assignments) for worker in rig.pool._workers.all) == [2, 3]
    rig.until(lambda: len(rig.pool._for_worker) == 3)
    assert rig.pool.cancel(other)
    for job in behind:
        assert rig.result(job).state is JobState.SUCCEEDED
    assert all(done.job_id != endless for done in rig.done)
    assert rig.pool.cancel(endless)
    assert rig.result(endless).state is JobState.CANCELED


def test_a_task_that_was_taken_back_runs_in_the_same_worker_later(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 1)
    endless = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    behind = rig.submit(digest, b"")
    rig.until(lambda: len(rig.pool._for_worker) == 1)
    pid = rig.pids()
    assert not rig.pool.takes(rig.task(digest))
    assert rig.pool.cancel(endless)
    assert rig.result(behind).state is JobState.SUCCEEDED
    assert rig.result(endless).state is JobState.CANCELED
    assert rig.pids() == pid
    rig.until(lambda: rig.pool.free == 1)
    assert len([done for done in rig.done if done.job_id == behind]) == 1


def test_cancel_of_a_task_that_waits_in_a_worker(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 1)
    endless = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    behind = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    assert rig.pool.cancel(behind)
    assert rig.pool.cancel(endless)
    assert rig.result(endless).state is JobState.CANCELED
    assert rig.result(behind).state is JobState.CANCELED
    assert rig.run(digest, b"").state is JobState.SUCCEEDED
    assert rig.alive == 1
