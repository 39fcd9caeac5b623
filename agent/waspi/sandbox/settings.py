"""The bounds of the sandbox."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from waspi.errors import ConfigError

if TYPE_CHECKING:
    from waspi.sandbox.task import Task

MIB = 1024 * 1024

_BOOT = "import sys;sys.path.append(sys.argv[1]);from waspi.sandbox.{program} import main;main(sys.argv[2:])"


def program(name: str) -> tuple[str, ...]:
    """The command line of one of the sandbox's programs, ``worker`` or ``compiler`` (``tuple[str, ...]``).

    Isolated and without ``site``: no ``PYTHONPATH``, no working directory, no ``.pth`` files, and 20 ms saved.
    """
    packages = str(Path(__file__).absolute().parents[2])
    return (sys.executable, "-I", "-S", "-c", _BOOT.format(program=name), packages)


def cores() -> int:
    """How many CPUs this process may use (``int``)."""
    return len(os.sched_getaffinity(0))


class Isolation(StrEnum):
    """Which jobs may share a worker process, one after the other.

    What breaks out of its guest can read and forge the jobs that come later to the same worker, and no others.
    """

    SHARED = "shared"
    """All."""
    MODULE = "module"
    """Those of one module, whoever sent them."""
    PUBLISHER = "publisher"
    """Those of one publisher (:attr:`~waspi.sandbox.task.Task.publisher`)."""
    JOB = "job"
    """None: each gets a process of its own."""

    def group_of(self, task: Task) -> str:
        """Tasks of the same group may share a worker (``str``)."""
        match self:
            case Isolation.SHARED:
                return ""
            case Isolation.MODULE:
                return task.digest
            case Isolation.PUBLISHER:
                return task.publisher
            case Isolation.JOB:
                return task.job_id


@dataclass(frozen=True, slots=True)
class ModuleBounds:
    """What a module may declare, or it is not compiled: as in ``waspi._wasmer.Bounds``, with the same defaults."""

    module_bytes: int = 16 * MIB
    """Bytes of one module's Wasm."""
    code_bytes: int = 4 * MIB
    """Bytes of all function bodies."""
    functions: int = 20_000
    """Functions, imported ones included."""
    body_bytes: int = 256 * 1024
    """Bytes of one function."""
    locals: int = 4_096
    """Locals of one function."""
    params: int = 128
    """Parameters of one function type."""
    nesting: int = 4_096
    """Blocks within blocks of one function."""
    table_elements: int = 65_536
    """Initial elements of all tables."""
    globals: int = 4_096
    """Globals."""
    data_segments: int = 100_000
    """Data segments, and element segments."""
    compile_ms: int = 30_000
    """Milliseconds that one compilation may take; meanwhile no other module is compiled."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many workers, how long, how large. The defaults suit a board with 512 MiB and more."""

    size: int = 0
    """Workers at once; 0: as many as there are CPUs."""
    idle_s: float = 30.0
    """Seconds without a job after which a worker leaves."""
    warm_modules: int = 8
    """Modules that a worker keeps loaded."""
    start_ms: int = 10_000
    """Milliseconds that a child has to come up and lock itself down."""
    grace_ms: int = 500
    """Milliseconds beyond its deadline, or after a cancel, before a worker is killed."""
    time_ms: int = 600_000
    """Milliseconds that a job has whose limits name no time."""
    memory_bytes: int = 0
    """The largest memory limit that a task may have; 0: not known, and a worker gets no RLIMIT_AS. (A guest's memory
    is capped by the engine in any case; this bounds what a worker takes beside it.)"""
    worker_overhead_bytes: int = 256 * MIB
    """Address space of a worker beside a guest's memory: interpreter, engine, compiled modules, input and output."""
    answer_bytes: int = 32 * MIB
    """Bytes of all outputs of a job together."""
    compile_address_space_bytes: int = 1024 * MIB
    """RLIMIT_AS of the compiler; 0: none."""
    compile_cpu_s: int = 60
    """RLIMIT_CPU of the compiler, seconds."""
    artifact_bytes: int = 64 * MIB
    """Bytes of one compiled module."""
    bounds: ModuleBounds = ModuleBounds()
    """What a module may declare."""
    module_memory_bytes: int = 64 * MIB
    """Bytes of memory that a module may declare as its minimum."""
    forget_failed_s: float = 60.0
    """Seconds for which a module that did not compile is refused without another try."""
    isolation: Isolation = Isolation.PUBLISHER
    """Which jobs may share a worker."""
    require: frozenset[str] = frozenset()
    """Parts of the lock-down without which no guest runs: ``seccomp``, ``landlock``, ..."""
    worker_command: tuple[str, ...] = program("worker")
    """Command line of a worker, before its own arguments."""
    compiler_command: tuple[str, ...] = program("compiler")
    """Command line of the compiler, before its own arguments."""

    @property
    def worker_address_space_bytes(self) -> int:
        """RLIMIT_AS of a worker (``int``, bytes), 0: none."""
        return self.memory_bytes + self.worker_overhead_bytes if self.memory_bytes else 0

    def __post_init__(self) -> None:
        if self.size < 0 or self.warm_modules < 1:
            raise ConfigError("sandbox: size must not be negative and warm_modules must be at least 1")

    @property
    def workers(self) -> int:
        """Workers at once (``int``, at least 1)."""
        return self.size or cores()
