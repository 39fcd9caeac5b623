"""A process whose address space is bounded, as a worker's is, runs guests of any size within it, one after another.

Idle regions of linear memories wait for the next run; they must never be what makes a run fail. Each test runs in a
process of its own: the limit cannot be raised again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = '''
import resource
from waspi import _wasmer, errors
from tests.native.wat import compile_wat, guest

def used():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) << 10

def bound(spare_mib):
    """Leave so much address space beside what is mapped now."""
    limit = used() + (spare_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return limit
'''
MEMORIES = "range(40, 66, 2)"


def run(body: str) -> str:
    root = Path(__file__).parents[2]
    # glibc reserves 64 MiB for each thread that allocates while another does: not what is looked at here.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", HEAD + body]
    done = subprocess.run(command, check=False, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("spare", [100, 320])
def test_slowly_growing_limits_use_no_more_address_space_than_the_largest_of_them(spare: int) -> None:
    """Each size is too large for the region of the one before it, and too small for it to be of use."""
    said = run(f"""
module = compile_wat(guest())
module.run(b"warm", memory_bytes=1 << 20)
bound({spare})
for mib in [*{MEMORIES}, *reversed({MEMORIES})]:
    assert module.run(b"hello", memory_bytes=mib << 20).output == b"hello", mib
print("whole")
""")
    assert said == "whole\n"


def test_declared_maxima_use_no_more_address_space_than_the_largest_of_them() -> None:
    said = run("""
sizes = [600, 650, 700, 750, 800, 850, 900, 950]
modules = {pages: compile_wat(guest(memory=f'(memory (export "memory") 1 {pages})')) for pages in sizes}
bound(100)
for pages in sizes * 3:
    assert modules[pages].run(b"hello", memory_bytes=64 << 20).output == b"hello", pages
print("whole")
""")
    assert said == "whole\n"


def test_a_run_that_finds_no_address_space_is_the_device_s_fault_and_the_next_one_works() -> None:
    said = run("""
module = compile_wat(guest(memory='(memory (export "memory") 1024)'))
small = compile_wat(guest())
small.run(b"warm", memory_bytes=1 << 20)
bound(48)
for _ in range(3):
    try:
        module.run(b"", memory_bytes=64 << 20)
    except errors.DeviceError as error:
        print(error.kind, error.message)
    assert small.run(b"hello", memory_bytes=16 << 20).output == b"hello"
""")
    lines = said.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("device this device has no memory left for the run") for line in lines), said


def test_many_sizes_at_once_leave_a_bounded_pool() -> None:
    said = run("""
import threading
module = compile_wat(guest(entry='(func (export "append") (param i32 i32) (result i32) (local.get 1))'))
module.run(b"warm", memory_bytes=1 << 20)
before = used()
open_ = [module.instantiate(memory_bytes=mib << 20) for mib in range(20, 60)]
for instance in open_:
    assert instance.run(b"hello").output == b"hello"
    instance.close()
print((used() - before) >> 20)
""")
    assert int(said) <= 70, "megabytes of address space are kept by a process that runs nothing"
