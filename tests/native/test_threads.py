"""A module is shared between threads; each run is its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.native.wat import LIMITS, LOOP, compile_wat, entry, guest
from waspi import _wasmer
from waspi.errors import FuelLimitError, TimeLimitError

# Fills the whole buffer with the input's first byte, by a loop, so that runs overlap.
FILL = entry("""(local $at i32)
  (loop $next
    (i32.store8 (i32.add (local.get $ptr) (local.get $at)) (i32.load8_u (local.get $ptr)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $at) (local.get $size))))
  (local.get $size)""")


def test_runs_in_parallel_do_not_see_each_other() -> None:
    module = compile_wat(FILL)

    def work(number: int) -> bool:
        data = bytes([number]) + bytes(2_000)
        return all(module.run(data, **LIMITS).output == bytes([number]) * 2_001 for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(1, 9)))


def test_limits_of_parallel_runs_are_their_own() -> None:
    module = compile_wat(entry(f"{LOOP} (i32.const 0)"))
    quick = compile_wat(guest())

    def work(number: int) -> type[BaseException] | None:
        try:
            if number % 3 == 0:
                module.run(b"", time_ms=20 + number)
            elif number % 3 == 1:
                module.run(b"", fuel=10_000 * number, time_ms=20_000)
            else:
                quick.run(b"", time_ms=20_000)
        except (TimeLimitError, FuelLimitError) as error:
            return type(error)
        return None

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(30))) == [TimeLimitError, FuelLimitError, None] * 10


def test_an_instance_serves_one_call_after_another() -> None:
    instance = compile_wat(FILL).instantiate()

    def work(number: int) -> bool:
        data = bytes([number]) + bytes(2_000)
        return all(instance.run(data).output == bytes([number]) * 2_001 for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 5)))


def test_compiling_beside_running() -> None:
    wasm = _wasmer.wat2wasm(FILL.encode())
    module = _wasmer.Module.compile(wasm)

    def work(number: int) -> bytes:
        made = _wasmer.Module.compile(wasm) if number % 2 else module
        return _wasmer.Module.load(made.serialize()).run(b"a12").output

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(40))) == {b"aaa"}
