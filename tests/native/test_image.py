"""Start-up is done once: what it made is kept, and every later run starts from a copy that no run has touched."""

from __future__ import annotations

import pytest

from tests.native.wat import ALLOC, COMPILES, LIMITS, MEMORY, compile_wat, limits
from waspi.errors import FuelLimitError, MemoryLimitError, WaspiError

PAGES = 4
# Start-up counts a thousand loops, grows the memory, and leaves marks in memory and in a global of each type.
WORK = """
  (global $i (mut i32) (i32.const 1)) (global $l (mut i64) (i64.const 2))
  (global $f (mut f32) (f32.const 0)) (global $d (mut f64) (f64.const 0))
  (func (export "_initialize") (local $n i32)
    (loop $more
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
    (drop (memory.grow (i32.const 3)))
    (i32.store (i32.const 150000) (local.get $n))
    (global.set $i (i32.const -5)) (global.set $l (i64.const 0x1122334455667788))
    (global.set $f (f32.const 1.5)) (global.set $d (f64.const -2.25)))
  (func (export "append") (param i32 i32) (result i32)
    (i32.store (local.get 0) (i32.load (i32.const 150000)))
    (i32.store offset=4 (local.get 0) (global.get $i)) (i64.store offset=8 (local.get 0) (global.get $l))
    (f32.store offset=16 (local.get 0) (global.get $f)) (f64.store offset=20 (local.get 0) (global.get $d))
    (i32.store (i32.const 150000) (i32.const 7)) (global.set $i (i32.const 9))
    (i32.const 28))"""
RIGHT = (
    (1000).to_bytes(4, "little")
    + b"\xfb\xff\xff\xff\x88\x77\x66\x55\x44\x33\x22\x11\0\0\xc0\x3f"
    + bytes(6)
    + b"\x02\xc0"
)


def test_later_runs_begin_where_start_up_ended() -> None:
    module = compile_wat(f"(module {MEMORY} {ALLOC} {WORK})")
    assert module.image_bytes is None
    first = module.run(b"", **LIMITS)
    assert first.output == RIGHT
    assert module.image_bytes == 4096
    for _ in range(3):
        later = module.run(b"", **LIMITS)
        assert later.output == RIGHT
        assert (later.fuel, later.memory_bytes) == (first.fuel, first.memory_bytes)
    with module.instantiate(**LIMITS) as instance:
        assert instance.run(b"").output == RIGHT
        assert instance.run(b"").output != RIGHT


def test_an_artifact_knows_that_its_start_up_can_be_kept() -> None:
    module = type(compile_wat(f"(module {MEMORY})")).load(compile_wat(f"(module {MEMORY} {ALLOC} {WORK})").serialize())
    assert [module.run(b"", **LIMITS).output for _ in range(2)] == [RIGHT, RIGHT]
    assert module.image_bytes == 4096


def test_limits_hold_with_and_without_an_image() -> None:
    module = compile_wat(f"(module {MEMORY} {ALLOC} {WORK})")
    fuel = module.run(b"", **LIMITS).fuel
    tight = limits(fuel=fuel - 1)
    with pytest.raises(FuelLimitError):
        module.run(b"", **tight)
    assert module.run(b"", **limits(fuel=fuel)).output == RIGHT
    with pytest.raises(WaspiError) as caught:  # start-up's memory.grow is refused, and it writes beyond the end
        module.run(b"", **limits(memory_bytes=2 * 65_536))
    assert not isinstance(caught.value, FuelLimitError | MemoryLimitError)
    assert module.run(b"", **LIMITS).output == RIGHT


def test_no_image_of_a_start_up_that_was_refused_memory() -> None:
    module = compile_wat(f"""(module {MEMORY} {ALLOC} (global $got (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $got (memory.grow (i32.const 3))))
      (func (export "append") (param i32 i32) (result i32)
        (i32.store (local.get 0) (global.get $got)) (i32.const 4)))""")
    small = limits(memory_bytes=2 * 65_536)
    assert module.run(b"", **small).output == b"\xff" * 4
    assert module.image_bytes is None
    assert module.run(b"", **LIMITS).output == b"\xff" * 4 or module.image_bytes is None


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("random_get (param i32 i32) (result i32)", "(drop (call $asked (i32.const 8) (i32.const 8)))"),
        (
            "clock_time_get (param i32 i64 i32) (result i32)",
            "(drop (call $asked (i32.const 0) (i64.const 0) (i32.const 8)))",
        ),
        ("environ_sizes_get (param i32 i32) (result i32)", "(drop (call $asked (i32.const 8) (i32.const 12)))"),
        (
            "fd_write (param i32 i32 i32 i32) (result i32)",
            """(i32.store (i32.const 4) (i32.const 3))
               (drop (call $asked (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))""",
        ),
    ],
)
def test_no_image_of_a_start_up_that_asked_or_said_something(imports: str, call: str) -> None:
    name, _, signature = imports.partition(" ")
    module = compile_wat(f"""(module
      (import "wasi_snapshot_preview1" "{name}" (func $asked {signature})) {MEMORY} {ALLOC}
      (func (export "_initialize") {call})
      (func (export "append") (param i32 i32) (result i32)
        (i64.store (local.get 0) (i64.load (i32.const 8))) (i32.const 8)))""")
    outcomes = [module.run(b"", **LIMITS) for _ in range(3)]
    assert module.image_bytes is None
    if name in {"random_get", "clock_time_get"}:
        assert len({outcome.output for outcome in outcomes}) > 1
    if name == "fd_write":
        assert [outcome.log for outcome in outcomes] == [b"\0\0\0"] * 3


@pytest.mark.parametrize(
    "part",
    [
        "(table 1 funcref) (func (param i32) (table.set (i32.const 0) (ref.null func)))",
        '(data $d "x") (func (data.drop $d))',
        "(func $nothing) (start $nothing)",
        "(global (mut funcref) (ref.null func))",
    ],
)
def test_no_image_where_more_than_memory_and_numbers_could_change(part: str) -> None:
    module = compile_wat(f"(module {MEMORY} {ALLOC} {part} {WORK})")
    assert [module.run(b"", **LIMITS).output for _ in range(2)] == [RIGHT, RIGHT]
    assert module.image_bytes is None


def test_no_image_without_start_up() -> None:
    module = compile_wat(
        f'(module {MEMORY} {ALLOC} (func (export "append") (param i32 i32) (result i32) (i32.const 0)))'
    )
    module.run(b"", **LIMITS)
    assert module.image_bytes is None


def test_no_byte_of_a_run_is_in_the_next_one_s_memory() -> None:
    # The entry looks for the secret's byte in all memory that it finds, then fills all of it with that byte.
    module = compile_wat(f"""(module {MEMORY} {ALLOC}
      (func (export "_initialize") (i32.store (i32.const 5000) (i32.const 1)) (drop (memory.grow (i32.const 8))))
      (func (export "append") (param $at i32) (param $size i32) (result i64) (local $to i32) (local $found i32)
        (local.set $to (i32.const 4096))
        (loop $look
          (local.set $found (i32.or (local.get $found) (i32.eq (i32.load8_u (local.get $to)) (i32.const 0xA5))))
          (local.set $to (i32.add (local.get $to) (i32.const 1)))
          (br_if $look (i32.lt_u (local.get $to) (i32.const 589824))))
        (memory.fill (i32.const 4096) (i32.const 0xA5) (i32.const 585728))
        (drop (memory.grow (i32.const 4)))
        (memory.fill (i32.const 589824) (i32.const 0xA5) (i32.const 262144))
        (i32.store (i32.const 0) (local.get $found))
        (i64.const 4)))""")
    generous = limits(fuel=100_000_000)
    for _ in range(4):
        assert module.run(b"\xa5" * 500, **generous).output == bytes(4)
    assert module.image_bytes is not None
    with pytest.raises(WaspiError):
        module.run(b"\xa5", **limits(fuel=3_000_000))  # ends in the middle
    assert module.run(b"\xa5" * 500, **generous).output == bytes(4)


@pytest.mark.skipif(not COMPILES, reason="the interpreter has no SIMD")
def test_vectors_in_globals_are_kept_whole() -> None:
    module = compile_wat(f"""(module {MEMORY} {ALLOC} (global $v (mut v128) (v128.const i64x2 0 0))
      (func (export "_initialize") (global.set $v (v128.const i64x2 0x1111 -2)))
      (func (export "append") (param i32 i32) (result i32)
        (v128.store (local.get 0) (global.get $v)) (i32.const 16)))""")
    outputs = {module.run(b"", **LIMITS).output for _ in range(3)}
    assert outputs == {(0x1111).to_bytes(8, "little") + b"\xfe" + b"\xff" * 7}
    assert module.image_bytes == 0
