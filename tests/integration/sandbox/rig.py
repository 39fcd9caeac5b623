"""A pool with a selector of its own, driven as the agent's loop drives it."""

from __future__ import annotations

import os
import selectors
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from waspi.sandbox.background import Background
from waspi.sandbox.cache import ModuleCache
from waspi.sandbox.pool import Pool
from waspi.sandbox.settings import PoolSettings
from waspi.sandbox.task import Done, Task

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 120.0
"""Real seconds after which a test gives up waiting for an event: a bound on hanging, not a measurement."""

COMPILER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_compiler.py")))
FAKE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_worker.py")))


def settle(store: Callable[[Background, Callable[[object], None]], None]) -> None:
    """Have something stored in the background, and wait for it; raises what came of it."""
    told: list[object] = []
    with selectors.DefaultSelector() as selector:
        background = Background(selector)
        store(background, told.append)
        while not told:
            for key, _ in selector.select(PATIENCE_S):
                key.data()
        background.close()
        assert not selector.get_map()
    if isinstance(told[0], Exception):
        raise told[0]


def put_artifact(cache: ModuleCache, digest: str, artifact: bytes) -> None:
    """Store an artifact and wait for it."""
    settle(lambda background, then: cache.put_artifact(digest, artifact, background, then))


class Clock:
    """Monotonic seconds: the real ones, plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Rig:
    """Pool, cache and loop in one."""

    def __init__(self, folder: Path, settings: PoolSettings, cache_bytes: int = 256 * 1024 * 1024) -> None:
        self.clock = Clock()
        self.selector = selectors.DefaultSelector()
        self.cache = ModuleCache(folder / "cache", cache_bytes)
        self.done: list[Done] = []
        self.pool = Pool(self.selector, self.cache, settings, self.done.append, clock=self.clock)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()
        assert not self.selector.get_map(), "descriptors are left at the selector"
        self.selector.close()

    def turn(self, patience: float = PATIENCE_S) -> None:
        """One iteration of the loop."""
        self.pool.flush()
        now = self.clock()
        due = self.pool.next_deadline(now)
        for key, _ in self.selector.select(patience if due is None else max(0.0, min(patience, due - now))):
            key.data()
        now = self.clock()
        due = self.pool.next_deadline(now)
        if due is not None and due <= now:
            self.pool.tick(now)

    def until(self, reached: Callable[[], bool]) -> None:
        """Turn the loop until it is so."""
        give_up = time.monotonic() + PATIENCE_S
        while not reached():
            left = give_up - time.monotonic()
            assert left > 0, "nothing came of it"
            self.turn(left)

    def task(self, digest: str, *inputs: bytes, **rest: object) -> Task:
        """A task with an id of its own."""
        self._count += 1
        return Task(f"job-{self._count}", digest, inputs=inputs or (b"",), **rest)  # type: ignore[arg-type]

    def submit(self, digest: str, *inputs: bytes, **rest: object) -> str:
        """Submit a task; its id."""
        task = self.task(digest, *inputs, **rest)
        self.pool.submit(task)
        return task.job_id

    def result(self, job_id: str) -> Done:
        """Wait for the end of a task."""
        self.until(lambda: any(done.job_id == job_id for done in self.done))
        found = [done for done in self.done if done.job_id == job_id]
        assert len(found) == 1, "a task ends once"
        return found[0]

    def run(self, digest: str, *inputs: bytes, **rest: object) -> Done:
        """Submit and wait."""
        return self.result(self.submit(digest, *inputs, **rest))

    @property
    def alive(self) -> int:
        """Worker processes that are there, the dying ones too."""
        return len(self.pool._workers.all)

    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self.pool._workers.all]


def children() -> set[int]:
    """Processes whose parent is this one, zombies included."""
    here = os.getpid()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == here:
                found.add(int(entry.name))
    return found


def open_fds() -> set[str]:
    """Descriptors of this process with what they are."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths
