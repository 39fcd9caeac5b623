"""The bounds of the sandbox."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from waspi.errors import ConfigError

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
    compile_ms: int = 30_000
    """Milliseconds that one compilation may take; meanwhile no other module is compiled."""
    artifact_bytes: int = 64 * MIB
    """Bytes of one compiled module."""
    module_bytes: int = 16 * MIB
    """Bytes of one module's Wasm."""
    module_memory_bytes: int = 64 * MIB
    """Bytes of memory that a module may declare as its minimum."""
    forget_failed_s: float = 60.0
    """Seconds for which a module that did not compile is refused without another try."""
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
