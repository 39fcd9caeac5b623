"""Limits bite, wherever the guest is (FAULTS 25, 26)."""

from __future__ import annotations

import pytest

from tests.native.wat import ALLOC, COMPILES, ECHO, LOOP, MEMORY, compile_wat, entry, guest
from waspi import errors

EVERYWHERE = {
    "entry": entry(f"{LOOP} (i32.const 0)"),
    "alloc": guest(alloc=f'(func (export "alloc") (param i32) (result i32) {LOOP} (i32.const 0))'),
    "start": f"(module {MEMORY} {ALLOC} {ECHO} (func $begin {LOOP}) (start $begin))",
    "initialize": f'(module {MEMORY} {ALLOC} {ECHO} (func (export "_initialize") {LOOP}))',
    "dealloc": f'(module {MEMORY} {ALLOC} {ECHO} (func (export "dealloc") (param i32 i32) {LOOP}))',
    "calls": entry("(loop (drop (call $alloc (i32.const 0))) (br 0)) (i32.const 0)"),
    "branches": entry("(loop (br_table 0 0 0 (local.get $ptr))) (i32.const 0)"),
    "bulk": entry("(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0)) (i32.const 0)"),
}


@pytest.mark.parametrize("place", EVERYWHERE)
def test_fault_25_endless_loop_meets_its_deadline(place: str) -> None:
    with pytest.raises(errors.TimeLimitError, match="did not end within 100 ms") as caught:
        compile_wat(EVERYWHERE[place]).run(b"", time_ms=100)
    assert caught.value.run_us >= 100_000
    assert caught.value.fuel > 0


@pytest.mark.parametrize("place", EVERYWHERE)
def test_fault_25_endless_loop_uses_up_its_fuel(place: str) -> None:
    with pytest.raises(errors.FuelLimitError, match="100000 operators") as caught:
        compile_wat(EVERYWHERE[place]).run(b"", fuel=100_000, time_ms=20_000)
    assert caught.value.fuel == 100_000


def test_fault_25_an_instance_is_stopped_while_it_is_made_and_while_it_is_called() -> None:
    with pytest.raises(errors.TimeLimitError):
        compile_wat(EVERYWHERE["start"]).instantiate(time_ms=30)
    instance = compile_wat(EVERYWHERE["entry"]).instantiate(time_ms=30)
    with pytest.raises(errors.TimeLimitError):
        instance.run(b"")


def test_unreachable_is_not_taken_for_empty_fuel() -> None:
    with pytest.raises(errors.UnreachableTrap) as caught:
        compile_wat(entry("unreachable")).run(b"", fuel=1_000)
    assert caught.value.fuel < 1_000


def test_fuel_is_exact_and_repeatable() -> None:
    module = compile_wat(entry("(i32.add (local.get $size) (i32.const 1))"))
    used = module.run(b"").fuel
    assert {module.run(bytes(size)).fuel for size in (0, 1, 100)} == {used}
    assert module.run(b"", fuel=used).fuel == used
    with pytest.raises(errors.FuelLimitError):
        module.run(b"", fuel=used - 1)
    with pytest.raises(errors.FuelLimitError):
        module.run(b"", fuel=0)


def test_fuel_beyond_what_can_be_counted_is_no_limit() -> None:
    assert compile_wat(guest()).run(b"abc", fuel=2**64 - 1).output == b"abc"


def test_no_limits_is_allowed() -> None:
    outcome = compile_wat(entry("(drop (memory.grow (i32.const 2048))) (i32.const 0)")).run(b"")
    assert outcome.memory_bytes == 2049 * 65_536


GROW = entry("(i32.store (local.get $ptr) (memory.grow (i32.load (local.get $ptr)))) (i32.const 4)")


@pytest.mark.parametrize(("pages", "fits"), [(15, True), (16, False), (65_535, False), (2**32 - 1, False)])
def test_fault_26_memory_grows_up_to_its_cap(pages: int, *, fits: bool) -> None:
    outcome = compile_wat(GROW).run(pages.to_bytes(4, "little"), memory_bytes=1 << 20)
    assert outcome.output == (1 if fits else 2**32 - 1).to_bytes(4, "little")
    assert outcome.memory_bytes == (16 if fits else 1) * 65_536


def test_fault_26_the_cap_is_the_run_s_though_the_module_is_shared() -> None:
    module = compile_wat(GROW)
    ask = (100).to_bytes(4, "little")
    for cap, granted in [(1 << 20, False), (16 << 20, True), (1 << 20, False), (8 << 20, True), (None, True)]:
        assert (module.run(ask, memory_bytes=cap).memory_bytes == 101 * 65_536) is granted


def test_fault_26_the_declared_maximum_holds() -> None:
    module = compile_wat(GROW.replace('(memory (export "memory") 1)', '(memory (export "memory") 1 3)'))
    assert module.run((2).to_bytes(4, "little")).memory_bytes == 3 * 65_536
    assert module.run((3).to_bytes(4, "little")).output == b"\xff" * 4


OR_TRAP = entry(
    "(if (i32.eq (memory.grow (i32.load (local.get $ptr))) (i32.const -1)) (then unreachable)) (i32.const 0)"
)
"""Gives up without memory, as the allocators of Rust and Zig do."""


def test_fault_26_a_guest_that_gives_up_for_want_of_memory_names_the_limit() -> None:
    module = compile_wat(OR_TRAP)
    with pytest.raises(errors.MemoryLimitError) as caught:
        module.run((1023).to_bytes(4, "little"), memory_bytes=(64 << 20) - 65_536)
    assert caught.value.message.startswith(
        "memory.grow was refused at 64 KiB (65472 KiB more were wanted, the limit is 65472 KiB): raise the limit or "
        "use less; then the guest trapped: unreachable"
    )
    assert caught.value.function == ("append" if COMPILES else None)
    assert module.run((1).to_bytes(4, "little"), memory_bytes=1 << 20).memory_bytes == 2 * 65_536


def test_fault_26_a_refusal_of_an_earlier_call_is_forgotten() -> None:
    guest = entry(
        "(if (i32.eqz (local.get $size)) (then unreachable)) (drop (memory.grow (i32.const 99))) (i32.const 0)"
    )
    with compile_wat(guest).instantiate(memory_bytes=1 << 20) as instance:
        instance.run(b"refused")
        with pytest.raises(errors.UnreachableTrap, match=r"^the guest trapped: unreachable was executed"):
            instance.run(b"")


def test_fault_26_the_module_s_own_maximum_is_not_the_run_s_limit() -> None:
    module = compile_wat(OR_TRAP.replace('(memory (export "memory") 1)', '(memory (export "memory") 1 3)'))
    with pytest.raises(errors.UnreachableTrap, match=r"^the guest trapped: unreachable was executed"):
        module.run((3).to_bytes(4, "little"), memory_bytes=1 << 20)


def test_fault_26_another_trap_after_a_refusal_keeps_its_kind() -> None:
    guest = entry("(i32.load (memory.grow (i32.const 99)))")
    with pytest.raises(errors.MemoryOutOfBoundsTrap, match=r"; before that memory\.grow was refused at 64 KiB"):
        compile_wat(guest).run(b"", memory_bytes=1 << 20)


def test_fault_26_a_module_that_needs_more_at_its_start() -> None:
    module = compile_wat(guest(memory='(memory (export "memory") 17)'))
    with pytest.raises(errors.MemoryLimitError, match="1114112 bytes of memory at its start, the limit is 1048576"):
        module.run(b"", memory_bytes=1 << 20)
    # Whole pages only: the rest of a started page is not granted.
    with pytest.raises(errors.MemoryLimitError):
        module.run(b"", memory_bytes=17 * 65_536 - 1)
    assert module.run(b"x", memory_bytes=17 * 65_536).output == b"x"


def test_fault_26_table_growth_is_capped() -> None:
    text = entry(
        "(i32.store (local.get $ptr) (table.grow 0 (ref.null func) (i32.load (local.get $ptr)))) (i32.const 4)"
    )
    module = compile_wat(text.replace("(memory", "(table 2 funcref) (memory", 1))
    for more, answer in [(65_534, 2), (65_535, 2**32 - 1), (2**32 - 1, 2**32 - 1)]:
        assert module.run(more.to_bytes(4, "little")).output == answer.to_bytes(4, "little")


def test_output_limit() -> None:
    module = compile_wat(guest())
    assert len(module.run(bytes(100), output_bytes=100).output) == 100
    with pytest.raises(errors.OutputLimitError, match="101 bytes, the limit is 100"):
        module.run(bytes(101), output_bytes=100)


@pytest.mark.parametrize("name", ["fuel", "memory_bytes", "time_ms", "output_bytes", "log_bytes", "headroom"])
def test_negative_limits_are_refused(name: str) -> None:
    with pytest.raises(OverflowError):
        compile_wat(guest()).run(b"", **{name: -1})  # type: ignore[arg-type]  # one keyword of several types
