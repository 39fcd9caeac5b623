"""Memory of a process, as the kernel tells it."""

from __future__ import annotations

import os
from pathlib import Path

from bench.disk import DiskProbe, file_system
from bench.process_memory import ProcessMemory


def test_alone_counts_shared_pages_of_the_interpreter_whole() -> None:
    here = ProcessMemory.of(os.getpid())
    rollup = Path("/proc/self/smaps_rollup").read_text()
    rss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:")) / 1024
    assert 0 < here.pss <= here.alone <= rss + 1


def test_two_processes_add_up() -> None:
    assert ProcessMemory(1.0, 2.0) + ProcessMemory(0.5, 1.0) == ProcessMemory(1.5, 3.0)


def test_a_probe_writes_and_the_file_system_has_a_name(tmp_path: Path) -> None:
    with DiskProbe(tmp_path) as probe:
        assert probe.fdatasync_us() > 0
    assert file_system(tmp_path) not in {"", "?"}
    assert file_system(Path("/proc")) == "proc"
