"""How long a job waits for its sandbox: a worker's start, and a module that was never seen."""

from __future__ import annotations

import selectors
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.figure import Figure
from bench.section import Section
from bench.session import GUEST, INPUT, OUTPUT
from bench.target import Target
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.settings import PoolSettings
from waspi.sandbox.task import Done, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.session import Session

NAME = "worker"
ROUNDS: Final = 20
COLD_ROUNDS: Final = 6
WHAT = "time"
BARE, BOOT, AOT, COLD, WARM = (
    "a bare interpreter (start to end)",
    "worker locked down and ready",
    "first job, module in the cache",
    "first job, module never seen",
    "next job, warm worker",
)


def measure(session: Session) -> Section:
    """A pool of its own each time, in turns with an interpreter that does nothing."""
    section = Section(
        NAME,
        "Start of a worker",
        "A pool as the agent has it, with one worker. Ready means: locked down (rlimits, no-new-privs, Landlock where "
        "the kernel has it, seccomp) and greeted. A module that was never seen is compiled first, "
        "by a process of its own.",
        BARE,
    )
    samples: dict[str, list[float]] = {name: [] for name in (BARE, BOOT, AOT, COLD, WARM)}
    folder = session.disk / "pool"
    rounds = session.count(ROUNDS)
    for turn in range(rounds):
        session.say(f"round {turn + 1} of {rounds}")
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        samples[BARE].append(_ms_since(begin))
        samples[BOOT].append(_boot_ms(folder))
        if turn < session.count(COLD_ROUNDS):
            shutil.rmtree(folder, ignore_errors=True)
            samples[COLD] += _job_ms(folder)[:1]
        first, after = _job_ms(folder)
        samples[AOT].append(first)
        samples[WARM].append(after)
    section.figures = [Figure.of(name, WHAT, "ms", values) for name, values in samples.items()]
    boot = section.median(BOOT, WHAT)
    if boot is not None:
        section.targets.append(Target("worker's start, locked down", boot, 60, "ms"))
    return section


def _ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3


def _boot_ms(folder: Path) -> float:
    with selectors.DefaultSelector() as selector:
        pool = Pool(selector, ModuleCache(folder, 1 << 28), PoolSettings(size=1), lambda _done: None)
        begin = time.perf_counter()
        pool.start_one()
        _until(selector, pool, lambda: pool.posture)
        taken = _ms_since(begin)
        pool.close()
    return taken


def _job_ms(folder: Path) -> list[float]:
    """The first job of a new pool, and the one after it."""
    done: list[Done] = []
    with selectors.DefaultSelector() as selector:
        cache = ModuleCache(folder, 1 << 28)
        digest = cache.put(GUEST.read_bytes())
        pool = Pool(selector, cache, PoolSettings(size=1), done.append)
        taken = []
        for number in (1, 2):
            begin = time.perf_counter()
            pool.submit(Task(f"job-{number}", digest, inputs=(INPUT,)))
            _until(selector, pool, lambda number=number: len(done) == number)  # type: ignore[misc]
            taken.append(_ms_since(begin))
        pool.close()
    if any(each.outputs != (OUTPUT,) for each in done):
        raise RuntimeError(f"no right answer: {done}")
    return taken


def _until(selector: selectors.BaseSelector, pool: Pool, holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the pool did not do it within 60 s")
        due = pool.next_deadline(time.monotonic())
        wait = 1.0 if due is None else min(max(due - time.monotonic(), 0), 1.0)
        for key, _ in selector.select(wait):
            key.data()
        pool.tick(time.monotonic())
