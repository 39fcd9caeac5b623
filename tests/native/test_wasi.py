"""The small WASI: what works, and that the rest says no."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.native.seccomp_here import needs_seccomp
from tests.native.wat import LIMITS, compile_wat
from waspi.errors import TimeLimitError

MODULE = "wasi_snapshot_preview1"
ROOT = Path(__file__).parents[2]
BADF, FAULT, INVAL, NOTSUP, SPIPE = 8, 21, 28, 58, 70

# Name, parameters, errno on stdout's descriptor (or with zeros for the rest), errno on descriptor 9.
DENIED = [
    ("fd_advise", "i32 i64 i64 i32", NOTSUP, BADF),
    ("fd_allocate", "i32 i64 i64", NOTSUP, BADF),
    ("fd_datasync", "i32", NOTSUP, BADF),
    ("fd_fdstat_set_rights", "i32 i64 i64", NOTSUP, BADF),
    ("fd_filestat_set_size", "i32 i64", NOTSUP, BADF),
    ("fd_filestat_set_times", "i32 i64 i64 i32", NOTSUP, BADF),
    ("fd_pread", "i32 i32 i32 i64 i32", SPIPE, BADF),
    ("fd_prestat_get", "i32 i32", BADF, BADF),
    ("fd_prestat_dir_name", "i32 i32 i32", BADF, BADF),
    ("fd_pwrite", "i32 i32 i32 i64 i32", SPIPE, BADF),
    ("fd_readdir", "i32 i32 i32 i64 i32", NOTSUP, BADF),
    ("fd_renumber", "i32 i32", NOTSUP, BADF),
    ("fd_seek", "i32 i64 i32 i32", SPIPE, BADF),
    ("fd_sync", "i32", NOTSUP, BADF),
    ("fd_tell", "i32 i32", SPIPE, BADF),
    ("path_create_directory", "i32 i32 i32", BADF, BADF),
    ("path_filestat_get", "i32 i32 i32 i32 i32", BADF, BADF),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", BADF, BADF),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32", BADF, BADF),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", BADF, BADF),
    ("path_readlink", "i32 i32 i32 i32 i32 i32", BADF, BADF),
    ("path_remove_directory", "i32 i32 i32", BADF, BADF),
    ("path_rename", "i32 i32 i32 i32 i32 i32", BADF, BADF),
    ("path_symlink", "i32 i32 i32 i32 i32", BADF, BADF),
    ("path_unlink_file", "i32 i32 i32", BADF, BADF),
    ("proc_raise", "i32", NOTSUP, NOTSUP),
    ("sock_accept", "i32 i32 i32", NOTSUP, BADF),
    ("sock_recv", "i32 i32 i32 i32 i32 i32", NOTSUP, BADF),
    ("sock_send", "i32 i32 i32 i32 i32", NOTSUP, BADF),
    ("sock_shutdown", "i32 i32", NOTSUP, BADF),
    ("fd_read", "i32 i32 i32 i32", BADF, BADF),
    ("fd_close", "i32", 0, BADF),
    ("fd_fdstat_set_flags", "i32 i32", 0, BADF),
    ("fd_filestat_get", "i32 i32", 0, BADF),
    ("fd_fdstat_get", "i32 i32", 0, BADF),
    ("sched_yield", "", 0, 0),
    ("args_get", "i32 i32", 0, 0),
    ("environ_get", "i32 i32", 0, 0),
]


def calling(name: str, params: str, args: str) -> str:
    """A guest that puts the errno of one call in front of 64 bytes of its memory."""
    return f"""(module (import "{MODULE}" "{name}" (func $call (param {params}) (result i32)))
      (memory (export "memory") 1)
      (func (export "alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "append") (param $ptr i32) (param $size i32) (result i32)
        (memory.copy (i32.const 256) (local.get $ptr) (local.get $size))
        (i32.store (local.get $ptr) (call $call {args}))
        (memory.copy (i32.add (local.get $ptr) (i32.const 4)) (i32.const 512) (i32.const 64))
        (i32.const 68)))"""


def call(name: str, params: str, args: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    """Errno, 64 bytes from address 512, log. ``data`` lies at address 256."""
    outcome = compile_wat(calling(name, params, args)).run(data, headroom=100, **LIMITS)
    return int.from_bytes(outcome.output[:4], "little"), outcome.output[4:], outcome.log


@pytest.mark.parametrize(("name", "params", "stream", "other"), DENIED)
def test_everything_else_says_no(name: str, params: str, stream: int, other: int) -> None:
    kinds = params.split()
    for descriptor, errno in ((1, stream), (9, other)):
        args = [f"({kind}.const {0 if position else descriptor})" for position, kind in enumerate(kinds)]
        assert call(name, params, " ".join(args))[0] == errno


def vectors(*pairs: tuple[int, int]) -> bytes:
    return b"".join(address.to_bytes(4, "little") + length.to_bytes(4, "little") for address, length in pairs)


WRITE = "(i32.const {fd}) (i32.const 256) (i32.const {count}) (i32.const 512)"


def write(fd: int, count: int, data: bytes) -> tuple[int, bytes, bytes]:
    return call("fd_write", "i32 i32 i32 i32", WRITE.format(fd=fd, count=count), data)


@pytest.mark.parametrize("fd", [1, 2])
def test_fd_write_goes_to_the_log(fd: int) -> None:
    data = vectors((272, 5), (277, 6)) + b"hello world"
    assert write(fd, 2, data) == (0, (11).to_bytes(4, "little") + bytes(60), b"hello world")


@pytest.mark.parametrize(
    ("fd", "count", "data", "errno"),
    [
        (0, 1, vectors((0, 4)), BADF),
        (3, 1, vectors((0, 4)), BADF),
        (1, 1, vectors((65_535, 2)), FAULT),
        (1, 1, vectors((2**32 - 1, 2**32 - 1)), FAULT),
        (1, 100_000, b"", INVAL),
        (1, -1, b"", INVAL),
    ],
)
def test_fd_write_checks_what_it_gets(fd: int, count: int, data: bytes, errno: int) -> None:
    answer, _, log = write(fd, count, data)
    assert (answer, log) == (errno, b"")


def test_the_log_is_cut_and_the_cut_is_marked() -> None:
    module = compile_wat(calling("fd_write", "i32 i32 i32 i32", WRITE.format(fd=1, count=2)))
    data = vectors((0, 60_000), (0, 60_000))
    whole = module.run(data, headroom=100, log_bytes=120_000).log
    assert len(whole) == 120_000
    cut = module.run(data, headroom=100, log_bytes=1_000).log
    assert len(cut) == 1_000
    mark = b"\n[log cut: the guest wrote 120000 bytes]\n"
    assert cut == whole[: 1_000 - len(mark)] + mark
    assert module.run(data, headroom=100, log_bytes=10).log == whole[:10]
    assert module.run(data, headroom=100, log_bytes=0).log == b""
    assert len(module.run(data, headroom=100).log) == 65_536


def test_each_call_of_an_instance_has_its_own_log() -> None:
    instance = compile_wat(calling("fd_write", "i32 i32 i32 i32", WRITE.format(fd=1, count=1))).instantiate(
        headroom=100
    )
    assert [instance.run(vectors((264, 1)) + text).log for text in (b"a", b"b")] == [b"a", b"b"]


def test_stdin_is_at_its_end() -> None:
    errno, memory, _ = call("fd_read", "i32 i32 i32 i32", "(i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)",
                            vectors((600, 10)))  # fmt: skip
    assert (errno, memory[:4]) == (0, bytes(4))


@pytest.mark.parametrize("name", ["environ_sizes_get", "args_sizes_get"])
def test_no_arguments_and_no_environment(name: str) -> None:
    assert call(name, "i32 i32", "(i32.const 512) (i32.const 516)") == (0, bytes(64), b"")
    assert call(name, "i32 i32", "(i32.const 512) (i32.const -4)")[0] == FAULT


def test_clocks() -> None:
    before = time.time_ns()
    errno, memory, _ = call("clock_time_get", "i32 i64 i32", "(i32.const 0) (i64.const 1) (i32.const 512)")
    assert errno == 0
    assert before <= int.from_bytes(memory[:8], "little") <= time.time_ns()
    for clock in (1, 2, 3):
        assert call("clock_time_get", "i32 i64 i32", f"(i32.const {clock}) (i64.const 1) (i32.const 512)")[0] == 0
    assert call("clock_time_get", "i32 i64 i32", "(i32.const 4) (i64.const 1) (i32.const 512)")[0] == INVAL
    assert call("clock_time_get", "i32 i64 i32", "(i32.const 0) (i64.const 1) (i32.const 65529)")[0] == FAULT
    assert call("clock_res_get", "i32 i32", "(i32.const 1) (i32.const 512)")[0] == 0


def test_random_is_random_and_stays_inside() -> None:
    errno, first, _ = call("random_get", "i32 i32", "(i32.const 512) (i32.const 32)")
    assert errno == 0
    assert first[32:] == bytes(32)
    assert first != call("random_get", "i32 i32", "(i32.const 512) (i32.const 32)")[1]
    assert call("random_get", "i32 i32", "(i32.const 65504) (i32.const 33)")[0] == FAULT
    assert call("random_get", "i32 i32", "(i32.const 512) (i32.const -1)")[0] == FAULT


def subscription(userdata: int, clock: int, timeout: int, flags: int = 0, tag: int = 0) -> bytes:
    numbers = [(userdata, 8), (tag, 8), (clock, 8), (timeout, 8), (0, 8), (flags, 8)]
    return b"".join(number.to_bytes(size, "little") for number, size in numbers)


POLL = "(i32.const 256) (i32.const 512) (i32.const {count}) (i32.const 568)"


def poll(*subscriptions: bytes) -> tuple[int, bytes]:
    errno, memory, _ = call(
        "poll_oneoff", "i32 i32 i32 i32", POLL.format(count=len(subscriptions)), b"".join(subscriptions)
    )
    return errno, memory


def test_poll_oneoff_sleeps_on_clocks() -> None:
    before = time.monotonic_ns()
    errno, memory = poll(subscription(7, 1, 3_600_000_000_000), subscription(8, 1, 5_000_000))
    assert time.monotonic_ns() - before >= 5_000_000
    assert errno == 0
    assert memory[:8] == (8).to_bytes(8, "little")
    assert memory[56:60] == (1).to_bytes(4, "little")
    # A moment of the past has come already.
    assert poll(subscription(9, 0, 1, flags=1))[0] == 0


@pytest.mark.parametrize(
    ("given", "errno"),
    [
        ([], INVAL),
        ([subscription(1, 1, 0, tag=1)], NOTSUP),
        ([subscription(1, 2, 0)], INVAL),
        ([subscription(1, 9, 0)], INVAL),
    ],
)
def test_poll_oneoff_refuses_the_rest(given: list[bytes], errno: int) -> None:
    assert poll(*given)[0] == errno


def test_fault_25_random_in_a_loop_is_stopped() -> None:
    call_it = "(call $call (i32.const 0) (i32.const 16777216))"
    text = calling("random_get", "i32 i32", "(i32.const 0) (i32.const 16777216)")
    text = text.replace('(memory (export "memory") 1)', '(memory (export "memory") 300)')
    text = text.replace("(i32.store (local.get $ptr)", f"(loop (drop {call_it}) (br 0)) (i32.store (local.get $ptr)")
    with pytest.raises(TimeLimitError):
        compile_wat(text).run(b"", time_ms=30)


NO_RANDOM = """
import ctypes, struct, sys
from tests.native.syscall_numbers import GETRANDOM
from tests.native.wat import compile_wat
from waspi import errors
from waspi import _wasmer
wasi = compile_wat('''(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (i32.store (local.get 0) (call $random (i32.const 0) (i32.const 8))) (i32.const 4)))''')
seed = compile_wat('''(module (import "env" "seed" (func $seed (result f64)))
  (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (drop (call $seed)) (i32.const 0)))''')
libc = ctypes.CDLL(None, use_errno=True)
# Load the number of the call; answer getrandom with EIO, allow the rest (seccomp(2)).
filter_ = b"".join(struct.pack("HBBI", *line) for line in
    [(0x20, 0, 0, 0), (0x15, 0, 1, GETRANDOM), (0x06, 0, 0, 0x00050005), (0x06, 0, 0, 0x7FFF0000)])
buffer = ctypes.create_string_buffer(filter_)
program = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", 4, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
assert int.from_bytes(wasi.run(b"", time_ms=5_000).output, "little") == 29  # EIO
try:
    seed.run(b"", time_ms=5_000)
except errors.AbortTrap as error:
    print(error.message)
"""


@needs_seccomp
def test_a_device_without_random_numbers_says_so() -> None:
    """getrandom fails for good: the guest gets an error, and no host function goes round for ever."""
    command = [sys.executable, "-c", NO_RANDOM]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "this device gives no random numbers: Input/output error" in done.stdout


def test_the_monotonic_clock_begins_at_zero_whatever_thread_reads_it_first() -> None:
    """Threads that race for the first look must not get a time from before it, which is one of 500 years."""
    text = """
import threading
from tests.native.wat import compile_wat
module = compile_wat('''(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (drop (call $time (i32.const 1) (i64.const 0) (local.get 0))) (i32.const 8)))''')
barrier, times = threading.Barrier(8), []
def look():
    barrier.wait()
    times.append(int.from_bytes(module.run(b"").output, "little"))
threads = [threading.Thread(target=look) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(times) == 8 and max(times) < 60 * 10**9, times
"""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", text], check=False, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_emscripten_s_note_of_growth_is_taken() -> None:
    text = """(module (import "env" "emscripten_notify_memory_growth" (func $note (param i32)))
      (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "append") (param i32 i32) (result i32)
        (drop (memory.grow (i32.const 1))) (call $note (i32.const 0)) (memory.size)))"""
    assert compile_wat(text).run(b"xx").output == b"xx"
