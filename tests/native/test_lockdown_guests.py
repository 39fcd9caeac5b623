"""Guests and the compiler inside a locked-down process: the sandbox must not stop what it is there for."""

import sys

import pytest

from tests.native.locked_child import Ended, run_locked
from waspi import _wasmer

# A guest in WebAssembly text: `append` runs BODY with (ptr, size) on its stack frame.
GUEST = """
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) i32.const 1024)
  (func $deep (param i32) (result i32) local.get 0 i32.const 1 i32.add call $deep i32.const 1 i32.add)
  (table 1 funcref)
  (func (export "append") (param $ptr i32) (param $size i32) (result i32)
    {body}))
"""

ECHO = "local.get $size"

RUN = """
    from waspi.errors import WaspiError
    module = _wasmer.Module.load(artifact)
    outcomes = []
    for options in OPTIONS:
        try:
            outcomes.append(module.run(b"hello", memory_bytes=1 << 24, **options).output.decode())
        except WaspiError as error:
            outcomes.append(error.kind)
    tell(outcomes)
"""


def wasm(body: str) -> bytes:
    return _wasmer.wat2wasm(GUEST.format(body=body).encode())


def run_guest(body: str, *options: dict[str, int], lock: str = "") -> Ended:
    """Compile here, run in a worker: one outcome (the output, or the error's kind) for each of ``options``."""
    artifact = _wasmer.Module.compile(wasm(body)).serialize()
    code = RUN.replace("OPTIONS", repr(list(options) or [{}]))
    return run_locked(
        code,
        before="artifact = sys.stdin.buffer.read()",
        lock=lock or '_wasmer.lockdown("worker", keep_fds=KEEP)',
        data=artifact,
    )


def test_a_guest_runs_from_an_artifact() -> None:
    ended = run_guest(ECHO, {}, {}, {"time_ms": 5000}, {"fuel": 1_000_000})
    assert (ended.status, ended.told) == (0, ["hello"] * 4), ended.stderr


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("unreachable", "unreachable"),
        ("(i32.div_u (local.get $size) (i32.const 0))", "division-by-zero"),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", "integer-overflow"),
        ("(i32.load (i32.const 0x7fffffff))", "memory-out-of-bounds"),
        ("(call_indirect (result i32) (i32.const 0))", "bad-indirect-call"),
        ("(call $deep (i32.const 0))", "stack-overflow"),
    ],
)
def test_traps_arrive_by_signal_and_the_worker_lives(body: str, kind: str) -> None:
    ended = run_guest(body, {}, {}, {"time_ms": 5000})
    assert (ended.status, ended.told) == (0, [kind] * 3), ended.stderr


def test_the_deadline_interrupts_an_endless_loop() -> None:
    ended = run_guest("(loop $again (br $again)) (i32.const 0)", {"time_ms": 50}, {"time_ms": 50})
    assert (ended.status, ended.told) == (0, ["time-limit"] * 2), ended.stderr


def test_a_cancel_interrupts_an_endless_loop() -> None:
    artifact = _wasmer.Module.compile(wasm("(loop $again (br $again)) (i32.const 0)")).serialize()
    ended = run_locked(
        """
        canceller = _wasmer.Canceller()
        module = _wasmer.Module.load(artifact)
        threading.Timer(0.05, canceller.cancel).start()
        try:
            module.run(b"hello", canceller=canceller)
        except waspi.errors.CanceledError as error:
            tell(error.kind)
        """,
        before="artifact = sys.stdin.buffer.read()",
        data=artifact,
    )
    assert (ended.status, ended.told) == (0, "canceled"), ended.stderr


def test_memory_grows_to_its_cap() -> None:
    body = """
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (i32.store8 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 1))
    local.get $size"""
    ended = run_guest(body, {}, {})
    assert (ended.status, ended.told) == (0, ["hello"] * 2), ended.stderr


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the 32-bit engine reserves nothing")
def test_a_guest_runs_under_an_address_space_limit() -> None:
    lock = '_wasmer.lockdown("worker", keep_fds=KEEP, address_space_bytes=1 << 30)'
    ended = run_guest(ECHO, {}, lock=lock)
    assert (ended.status, ended.told) == (0, ["hello"]), ended.stderr


def test_a_compiler_compiles() -> None:
    """The artifact that it gives runs here."""
    ended = run_locked(
        """
        module = _wasmer.Module.compile(text)
        tell(module.serialize().hex())
        """,
        before="text = sys.stdin.buffer.read()",
        lock='_wasmer.lockdown("compiler", keep_fds=KEEP)',
        data=wasm(ECHO),
    )
    assert ended.status == 0, ended.stderr
    assert _wasmer.Module.load(bytes.fromhex(ended.told)).run(b"hello").output == b"hello"


def test_a_compiler_refuses_a_bad_module_and_lives() -> None:
    ended = run_locked(
        """
        try:
            _wasmer.Module.compile(b"no module")
        except waspi.errors.InvalidModuleError as error:
            tell(error.kind)
        """,
        lock='_wasmer.lockdown("compiler", keep_fds=KEEP)',
    )
    assert (ended.status, ended.told) == (0, "invalid-module"), ended.stderr
