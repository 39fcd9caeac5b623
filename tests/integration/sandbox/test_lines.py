"""Several tasks in one worker: each runs at most once, and none waits for long behind another."""

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


def lined_up(fake: Fake, **settings: object) -> tuple[Rig, str]:
    """A rig whose one worker has run the module, so that more of it may line up there."""
    rig, digest = fake(**settings)
    assert not rig.pool.takes(digest) or rig.pool.free == 1
    rig.run(digest, b"first")
    return rig, digest


def test_short_tasks_line_up_and_are_answered_in_order(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    jobs = []
    while rig.pool.takes(digest):
        jobs.append(rig.submit(digest, b"number %d" % len(jobs)))
    assert len(jobs) == 8
    assert rig.pool.free == 0
    rig.until(lambda: len(rig.done) == 9)
    assert [done.job_id for done in rig.done[1:]] == jobs
    assert [done.outputs for done in rig.done[1:]] == [(b"number %d" % number,) for number in range(8)]
    assert rig.pool.alive == 1
    assert rig.pool.free == 1


def test_only_modules_that_the_worker_has_run_line_up(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    other = rig.cache.put(b"another module")
    rig.submit(digest, b"hang")
    assert rig.pool.takes(digest)
    assert not rig.pool.takes(other)


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


def test_an_answer_that_nobody_read_tells_that_the_next_was_begun(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    jobs = [
        rig.submit(digest, notes.word(word, f"run-{place}"), limits=Limits(time_ms=5_000))
        for place, word in enumerate(("fine", "hang", "fine"))
    ]
    rig.pool.flush()
    notes.wait_for("run-1")
    rig.clock.ahead += 6.0
    rig.pool.tick(rig.clock())  # the answer of the first is there, and not read: by the clock it is overdue
    assert rig.result(jobs[0]).state is JobState.TIMED_OUT
    second = rig.result(jobs[1])
    assert second.error is not None
    assert (second.state, second.error.kind) == (JobState.FAILED, "worker")
    assert rig.result(jobs[2]).state is JobState.SUCCEEDED
    assert notes.read() == ["run-0", "run-1", "run-2"]


def test_after_garbage_every_task_of_the_line_counts_as_begun(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    jobs = [rig.submit(digest, notes.word(word, f"run-{n}")) for n, word in enumerate(("wrong-count", "fine", "fine"))]
    for job in jobs:
        error = rig.result(job).error
        assert error is not None
        assert error.kind == "worker"
    assert len(notes.read()) == len(set(notes.read()))
    assert rig.run(digest, b"after").state is JobState.SUCCEEDED


def test_a_worker_that_is_killed_from_outside_fails_one_of_its_line(fake: Fake, tmp_path: Path) -> None:
    rig, digest = lined_up(fake)
    notes = Notes(tmp_path)
    jobs = [rig.submit(digest, notes.word(word, f"run-{n}")) for n, word in enumerate(("hang", "fine", "fine"))]
    rig.pool.flush()
    notes.wait_for("run-0")
    os.kill(rig.pids()[0], signal.SIGKILL)
    assert [rig.result(job).state for job in jobs] == [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert notes.read() == ["run-0", "run-1", "run-2"]


def test_nonsense_in_answer_to_a_recall_ends_the_worker(fake: Fake) -> None:
    rig, digest = lined_up(fake)
    jobs = [rig.submit(digest, b"lie"), rig.submit(digest, b"behind")]
    for job in jobs:
        error = rig.result(job).error
        assert error is not None
        assert "garbage on its control socket" in error.message
    assert rig.run(digest, b"after").state is JobState.SUCCEEDED


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


def learn(rig: Rig, digest: str) -> None:
    """Run it until it is known for short: on a busy machine one run may take long."""
    for _ in range(1000):
        if rig.pool._pace.line(digest) == 8:
            return
        rig.run(digest, b"")
    raise AssertionError("a run of nothing takes long every time")


def test_a_task_behind_one_that_takes_long_goes_to_another_worker(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 2)
    long = Limits(time_ms=60_000)
    endless = rig.submit(digest, b"x", limits=long)
    assert rig.run(digest, b"").state is JobState.SUCCEEDED
    learn(rig, digest)
    other = rig.submit(digest, b"x", limits=long)
    behind = [rig.submit(digest, b"") for _ in range(3)]
    assert sorted(len(worker.assignments) for worker in rig.pool._crew.workers) == [2, 3]
    rig.until(lambda: len(rig.pool._for_worker) == 3)
    assert rig.pool.cancel(other)
    for job in behind:
        assert rig.result(job).state is JobState.SUCCEEDED
    assert all(done.job_id != endless for done in rig.done)
    assert rig.pool.cancel(endless)
    assert rig.result(endless).state is JobState.CANCELED


def test_a_task_that_was_recalled_runs_in_the_same_worker_later(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 1)
    endless = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    behind = rig.submit(digest, b"")
    rig.until(lambda: len(rig.pool._for_worker) == 1)
    pid = rig.pids()
    assert not rig.pool.takes(digest)
    assert rig.pool.cancel(endless)
    assert rig.result(behind).state is JobState.SUCCEEDED
    assert rig.result(endless).state is JobState.CANCELED
    assert rig.pids() == pid


def test_cancel_of_a_task_that_waits_in_a_worker(rigs: Callable[..., Rig]) -> None:
    rig, digest = spinning(rigs, 1)
    endless = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    behind = rig.submit(digest, b"x", limits=Limits(time_ms=60_000))
    assert rig.pool.cancel(behind)
    assert rig.pool.cancel(endless)
    assert rig.result(endless).state is JobState.CANCELED
    assert rig.result(behind).state is JobState.CANCELED
    assert rig.run(digest, b"").state is JobState.SUCCEEDED
    assert rig.pool.alive == 1
