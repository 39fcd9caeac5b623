"""Instances: closing them, and what a call that is cut off leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.test_cancel import ENDLESS, in_thread
from tests.native.wat import compile_wat, guest, limits
from waspi._wasmer import Canceller
from waspi.errors import CanceledError, GuestError, UnreachableTrap, UsageError

MIB = 1 << 20
# A packed result of 1 MiB; the dealloc traps once the host has copied it.
TRAPS_LATE = guest(
    memory='(memory (export "memory") 17)',
    entry="""(func (export "append") (param i32 i32) (result i64) (i64.const 1048576))
      (func (export "dealloc") (param i32 i32) unreachable)""",
)


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_an_output_is_freed_when_the_dealloc_after_it_traps() -> None:
    """The host copies the result before that, and is cut off in the middle of its own work."""
    module = compile_wat(TRAPS_LATE)

    def trap(times: int) -> int:
        for _ in range(times):
            with pytest.raises(UnreachableTrap):
                module.run(b"x", **limits(memory_bytes=4 * MIB))
        return resident_bytes()

    before = trap(20)
    assert trap(100) - before < 20 * MIB


def test_closing_waits_for_the_call_that_is_under_way() -> None:
    canceller = Canceller()
    instance = compile_wat(ENDLESS).instantiate(canceller=canceller, time_ms=20_000)
    runner, ran = in_thread(lambda: instance.run(b""))
    closer, closed = in_thread(instance.close)
    canceller.cancel()
    runner.join(20)
    closer.join(20)
    assert closed == []
    # Whoever was first, the run or the close.
    assert [type(error) for error in ran] in ([CanceledError], [UsageError])
    with pytest.raises(UsageError, match="was closed; instantiate the module again"):
        instance.run(b"")


def test_a_closed_instance_stays_closed() -> None:
    module = compile_wat(guest())
    with module.instantiate() as instance:
        assert instance.run(b"x").output == b"x"
    instance.close()
    with pytest.raises(UsageError, match="closed"):
        instance.run(b"x")
    with pytest.raises(UsageError, match="closed"), instance:
        instance.run(b"x")


def test_a_spent_instance_can_be_closed() -> None:
    instance = compile_wat(TRAPS_LATE).instantiate()
    with pytest.raises(UnreachableTrap):
        instance.run(b"x")
    with pytest.raises(GuestError, match="spent"):
        instance.run(b"x")
    instance.close()
    with pytest.raises(UsageError, match="closed"):
        instance.run(b"x")


def test_an_error_in_the_block_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), compile_wat(guest()).instantiate():
        raise ZeroDivisionError
