"""A run is stopped by a floor that rises, not by fuel that is taken away: what it used stays exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.native.test_cancel import in_thread
from tests.native.wat import LOOP, compile_wat, entry
from waspi._wasmer import Canceller
from waspi.errors import CanceledError, FuelLimitError, TimeLimitError

if TYPE_CHECKING:
    from waspi import _wasmer

FUEL = 10**15
# Writes its rounds to the log, a byte each: as many as the input has bytes, or without end when it has none.
ROUNDS = entry(
    """(local $left i32) (local.set $left (local.get $size))
       (loop $next
         (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
         (local.set $left (i32.sub (local.get $left) (i32.const 1)))
         (br_if $next (local.get $left)))
       (i32.const 0)""",
    before="""(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (data (i32.const 0) "\\10\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 16) ".")""",
)
SHORTEST = {
    "br": entry(f"{LOOP} (i32.const 0)"),
    "br_if": entry("(loop (br_if 0 (i32.const 1))) (i32.const 0)"),
    "br_table": entry("(loop (br_table 0 0 (i32.const 0))) (i32.const 0)"),
    "nested": entry("(loop (loop (br 1))) (i32.const 0)"),
    "store": entry("(loop (i32.store (i32.const 0) (i32.const 0)) (br 0)) (i32.const 0)"),
}


def stopped(module: _wasmer.Module, time_ms: int) -> TimeLimitError:
    with pytest.raises(TimeLimitError) as caught:
        module.run(b"", fuel=FUEL, time_ms=time_ms, log_bytes=1 << 26)
    return caught.value


@pytest.mark.parametrize("loop", SHORTEST)
def test_the_shortest_loops_are_stopped_each_time(loop: str) -> None:
    """A few cycles long: on some processors such a loop never saw what another core wrote into its tank."""
    module = compile_wat(SHORTEST[loop])
    used = [stopped(module, 3).fuel for _ in range(40)]
    # Had the stop emptied the tank, all of the fuel would seem used. On a busy machine the time may be up before the
    # guest's first step, but not always.
    assert max(used) < FUEL // 1_000
    assert max(used) > 0


def test_a_stopped_run_s_fuel_is_exact() -> None:
    """What was used tells how many rounds there were, as it does for a run that ends by itself."""
    module = compile_wat(ROUNDS)
    two, three = (module.run(bytes(rounds)) for rounds in (2, 3))
    assert (two.log, three.log) == (b"..", b"...")
    each = three.fuel - two.fuel
    around = two.fuel - 2 * each
    for _ in range(10):
        caught = stopped(module, 5)
        rounds = len(caught.log)
        # It may be stopped in the middle of a round, and has not come to its end.
        assert each * rounds <= caught.fuel <= around + each * (rounds + 1)


def test_a_canceled_run_s_fuel_is_exact() -> None:
    module = compile_wat(ROUNDS)
    two, three = (module.run(bytes(rounds)).fuel for rounds in (2, 3))
    each = three - two
    canceller = Canceller()
    thread, caught = in_thread(
        lambda: module.run(b"", fuel=FUEL, time_ms=20_000, log_bytes=1 << 26, canceller=canceller)
    )
    canceller.cancel()
    thread.join(20)
    (error,) = caught
    assert isinstance(error, CanceledError)
    rounds = len(error.log)
    assert each * rounds <= error.fuel <= two - 2 * each + each * (rounds + 1)


def test_a_floor_is_down_again_for_the_next_run() -> None:
    """The pool gives the next instance the memory, and the allocator the globals, of the one that was stopped."""
    module = compile_wat(ROUNDS)
    used = module.run(b"x").fuel
    for _ in range(20):
        stopped(module, 1)
        assert module.run(b"x").fuel == used
        assert module.run(b"x", fuel=used).fuel == used
        with pytest.raises(FuelLimitError):
            module.run(b"x", fuel=used - 1)
