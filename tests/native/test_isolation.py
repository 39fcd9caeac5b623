"""What one run wrote is nowhere in the next, and every operator gives what the specification says.

Both were wrong in wasmi 2.0.0: a guest read the locals of the guest before it, and ``select`` ignored a condition that
compares with zero.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.wat import ALLOC, COMPILES, MEMORY, compile_wat, entry
from waspi import _wasmer
from waspi.errors import TableOutOfBoundsTrap

SECRET = b"\x11\x22\x33\x44SECR"
LAYOUTS = range(80)
SLOTS = 40


def writer() -> _wasmer.Module:
    """Puts its input's first eight bytes into many locals of many frames, into memory, globals and a table."""
    locals_ = " ".join(["i64"] * SLOTS)
    fill = "".join(
        f"(local.set {at + 1} (i64.add (i64.load (i32.const 1024)) (i64.const {at})))" for at in range(SLOTS)
    )
    fold = "(local.get 1)" + "".join(f"(local.get {at}) i64.xor" for at in range(2, SLOTS + 1))
    return compile_wat(f"""(module {MEMORY} {ALLOC} (table (export "t") 64 funcref) (elem declare func $deep)
      {"".join(f"(global $g{at} (mut i64) (i64.const 0))" for at in range(8))}
      (func $deep (param i32) (result i64) (local {locals_}) {fill}
        (if (local.get 0) (then (drop (call $deep (i32.sub (local.get 0) (i32.const 1))))))
        {fold})
      (func (export "append") (param i32 i32) (result i32) (local i32)
        {"".join(f"(global.set $g{at} (i64.load (i32.const 1024)))" for at in range(8))}
        (table.fill 0 (i32.const 0) (ref.func $deep) (i32.const 64))
        (loop (i64.store (local.get 2) (i64.load (i32.const 1024)))
          (br_if 0 (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 8))) (i32.const 65536))))
        (drop (call $deep (i32.const 20)))
        (i32.const 0)))""")


def reader(locals_: int) -> _wasmer.Module:
    """Gives a local that nothing was written to, from under a stack of other values."""
    return compile_wat(f"""(module {MEMORY} {ALLOC}
      (func $f (result i64) (local $q i64) (local {" ".join(["i64"] * locals_)}) (local $i i32)
        local.get $q i32.const 3 block (param i32) i32.popcnt i32.const 7 i32.const 5 select br_if 0
          (if (local.get $i) (then (local.set $i (i32.const 1)))) end)
      (func (export "append") (param i32 i32) (result i32) (i64.store (i32.const 0) (call $f)) (i32.const 8))
      (func (export "zero") (param i32) (result i32) (i32.const 0)))""")


def test_no_local_of_an_earlier_run_is_read() -> None:
    wrote = writer()
    for locals_ in LAYOUTS:
        read = reader(locals_)
        wrote.run(SECRET)
        assert read.run(b"", alloc="zero").output == bytes(8), f"{locals_} locals"


def test_nothing_of_an_earlier_run_is_in_memory_globals_or_tables() -> None:
    """The reader grows its memory to where an earlier guest's was, looks through all of it, and into a table."""
    looks = compile_wat(f"""(module {MEMORY} {ALLOC} (table 64 128 funcref)
      {"".join(f"(global $g{at} (mut i64) (i64.const 0))" for at in range(8))}
      (func (export "append") (param i32 i32) (result i32) (local $at i32) (local $found i64)
        (drop (memory.grow (i32.const 31))) (drop (table.grow (ref.null func) (i32.const 64)))
        (loop (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
          (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 0x200000))))
        (local.set $at (i32.const 0))
        (loop (if (i32.eqz (ref.is_null (table.get (local.get $at)))) (then (local.set $found (i64.const 1))))
          (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 128))))
        {"".join(f"(local.set $found (i64.or (local.get $found) (global.get $g{at})))" for at in range(8))}
        (i64.store (i32.const 0) (local.get $found)) (i32.const 8)))""")
    grows = compile_wat(
        entry("""(drop (memory.grow (i32.const 31)))
          (memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 0x200000)) (i32.const 0)""")
    )
    wrote = writer()
    for few in (wrote, grows, wrote):
        few.run(SECRET, memory_bytes=2 << 20)
        assert looks.run(b"", memory_bytes=2 << 20).output == bytes(8)


COMPARES: dict[str, tuple[str, Callable[[int], bool]]] = {
    "i32.eqz": ("(i32.eqz {x})", lambda x: x == 0),
    "i32.eq 0": ("(i32.eq {x} (i32.const 0))", lambda x: x == 0),
    "0 eq i32": ("(i32.eq (i32.const 0) {x})", lambda x: x == 0),
    "i32.ne 0": ("(i32.ne {x} (i32.const 0))", lambda x: x != 0),
    "0 ne i32": ("(i32.ne (i32.const 0) {x})", lambda x: x != 0),
    "i32.gt_u 0": ("(i32.gt_u {x} (i32.const 0))", lambda x: x > 0),
    "i32.le_u 0": ("(i32.le_u {x} (i32.const 0))", lambda x: x <= 0),
    "i32.lt_u 1": ("(i32.lt_u {x} (i32.const 1))", lambda x: x < 1),
    "eqz eqz": ("(i32.eqz (i32.eqz {x}))", lambda x: x != 0),
    "i64.eqz": ("(i64.eqz (i64.extend_i32_u {x}))", lambda x: x == 0),
    "i64.ne 0": ("(i64.ne (i64.extend_i32_u {x}) (i64.const 0))", lambda x: x != 0),
    "plain": ("{x}", lambda x: x != 0),
}
SIDES = {
    "constant, parameter": ("(i32.const 1)", "(local.get $y)"),
    "parameter, constant": ("(local.get $z)", "(i32.const 7)"),
    "two parameters": ("(local.get $z)", "(local.get $y)"),
    "two constants": ("(i32.const 1)", "(i32.const 7)"),
}


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("compare", COMPARES)
def test_select_heeds_a_condition_that_compares_with_zero(compare: str, sides: str) -> None:
    """``$y`` is 7 and ``$z`` is 1: so 1 where the condition holds. The caller passes what it loads, or constants."""
    text, meaning = COMPARES[compare]
    condition = text.format(x="(local.get $x)")
    one, other = SIDES[sides]
    values = (0, 1, 2, 255)
    calls = "".join(
        f"(i32.store8 offset={at} (i32.const 0) (call {name} {x} (i32.const 7) (i32.const 1)))"
        for at, (name, x) in enumerate(
            (name, x)
            for value in values
            for name in ("$select", "$typed", "$branch")
            for x in (f"(i32.const {value})", f"(i32.load8_u offset={value} (i32.const 1024))")
        )
    )
    parameters = "(param $x i32) (param $y i32) (param $z i32) (result i32)"
    module = compile_wat(f"""(module {MEMORY} {ALLOC}
      (func $select {parameters} (select {one} {other} {condition}))
      (func $typed {parameters} (select (result i32) {one} {other} {condition}))
      (func $branch {parameters} (if (result i32) {condition} (then {one}) (else {other})))
      (func (export "append") (param i32 i32) (result i32) {calls}
        (memory.copy (local.get 0) (i32.const 0) (i32.const 24)) (i32.const 24)))""")
    output = module.run(bytes(range(256))).output
    assert output == b"".join(bytes([1 if meaning(value) else 7]) * 6 for value in values)


def test_a_copy_between_tables_that_does_not_fit_is_a_trap_of_the_table() -> None:
    module = compile_wat(
        entry("(table.copy (i32.const 3) (i32.const 0) (i32.const 2)) (i32.const 0)", "(table 4 funcref)")
    )
    with pytest.raises(TableOutOfBoundsTrap):
        module.run(b"")


def test_the_engine_s_version_is_the_locked_one() -> None:
    name, version = _wasmer.ENGINE.split()
    lock = Path(__file__).parents[2] / "agent" / "native" / "Cargo.lock"
    if lock.exists():
        packages = {package["name"]: package["version"] for package in tomllib.loads(lock.read_text())["package"]}
        assert version == packages[name]
    assert (name == "wasmer") is COMPILES
