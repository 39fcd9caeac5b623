"""The alloc/append ABI, seen from Python."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest

from tests.native.wat import ALLOC, ECHO, LIMITS, MEMORY, compile_wat, entry, guest
from waspi import _wasmer
from waspi.errors import (
    GuestError,
    InputTooLargeError,
    InvalidModuleError,
    MissingExportError,
    OverrunError,
    PointerError,
    UnreachableTrap,
    WaspiError,
    WrongSignatureError,
)

SUFFIX = b"<---- This is your string"
APPEND = f"""(module {MEMORY} {ALLOC} (data (i32.const 16) "{SUFFIX.decode()}")
  (func (export "append") (param $ptr i32) (param $size i32) (result i32)
    (memory.copy (i32.add (local.get $ptr) (local.get $size)) (i32.const 16) (i32.const {len(SUFFIX)}))
    (i32.add (local.get $size) (i32.const {len(SUFFIX)}))))"""
# Counts its calls in memory, and gives the number as its output.
COUNTER = entry("(i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))"
                "(i32.store8 (local.get $ptr) (i32.load8_u (i32.const 8))) (i32.const 1)")  # fmt: skip
# Returns the input's bytes where they lie, packed, and counts dealloc calls in the log.
PACKED = """(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 64) "\\48\\00\\00\\00\\01\\00\\00\\00d")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "dealloc") (param i32 i32)
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 96))))
  (func (export "append") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.const {address}) (i64.const 32)) (i64.const {size}))))"""


def test_reference_example() -> None:
    outcome = compile_wat(APPEND).run(b"The input string", **LIMITS)
    assert outcome.output == b"The input string" + SUFFIX
    assert outcome.log == b""
    assert outcome.trace is None
    assert outcome.memory_bytes == 65_536
    assert 0 < outcome.fuel < 100


def test_trace_tells_what_happened_in_memory() -> None:
    trace = compile_wat(APPEND).run(b"abc", trace=True).trace
    assert trace is not None
    base = trace.pop("memory_address")
    assert isinstance(base, int)
    assert base > 0
    assert trace == {
        "pointer": 1024,
        "input_size": 3,
        "buffer_size": 33,
        "buffer_address": base + 1024,
        "new_size": 3 + len(SUFFIX),
        "result_pointer": 1024,
        "memory_bytes": 65_536,
    }


@pytest.mark.parametrize("data", [b"", b"x", b"\0\xff" * 5_000, bytearray(b"array"), memoryview(b"view of bytes")[2:6]])
def test_any_contiguous_buffer_is_input(data: bytes | bytearray | memoryview) -> None:
    assert compile_wat(guest()).run(data).output == bytes(data)


def test_what_is_no_buffer_is_refused() -> None:
    module = compile_wat(guest())
    with pytest.raises(TypeError, match="bytes-like"):
        module.run("text")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(BufferError, match="contiguous"):
        module.run(memoryview(b"abcdef")[::2])


def test_every_run_gets_a_fresh_instance() -> None:
    module = compile_wat(COUNTER)
    assert [module.run(b"").output for _ in range(3)] == [b"\1"] * 3


def test_memory_comes_back_clean() -> None:
    """The address space is used again: nothing of the last run, however it ended, may be seen in the next."""
    dirty = compile_wat(entry("(memory.fill (i32.const 0) (i32.const 0xee) (i32.const 65536)) (unreachable)"))
    fill = "(memory.fill (i32.const 0) (i32.const 0xee) (i32.const 13172736))"
    many = compile_wat(entry(f"(drop (memory.grow (i32.const 200))) {fill} (i32.const 0)"))
    all_of_it = entry("(drop (memory.grow (i32.const 200))) (i64.const 13172736)")
    reader = compile_wat(all_of_it.replace("(result i32) (drop", "(result i64) (drop"))
    for module in (dirty, many, dirty):
        with suppress(UnreachableTrap):
            module.run(b"", memory_bytes=16 << 20)
        assert reader.run(b"", memory_bytes=16 << 20).output == bytes(13_172_736)


def test_an_instance_keeps_its_state() -> None:
    instance = compile_wat(COUNTER).instantiate(**LIMITS)
    assert [instance.run(b"").output for _ in range(3)] == [b"\1", b"\2", b"\3"]


def test_a_failed_instance_is_spent() -> None:
    instance = compile_wat(entry("(if (local.get $size) (then (unreachable))) (i32.const 0)")).instantiate(**LIMITS)
    assert instance.run(b"").output == b""
    with pytest.raises(UnreachableTrap):
        instance.run(b"x")
    for _ in range(2):
        with pytest.raises(GuestError, match="spent") as caught:
            instance.run(b"")
        assert type(caught.value) is GuestError


def test_fuel_is_counted_for_each_call_of_an_instance() -> None:
    instance = compile_wat(guest()).instantiate(fuel=10)
    assert len({instance.run(b"").fuel for _ in range(100)}) == 1


def test_initialize_runs_once_and_start_before_it() -> None:
    text = f"""(module {MEMORY} {ALLOC}
      (func $start (i32.store8 (i32.const 0) (i32.const 7)))
      (func (export "_initialize") (i32.store8 (i32.const 1) (i32.add (i32.load8_u (i32.const 0))
                                                                      (i32.load8_u (i32.const 1)))))
      (start $start)
      (func (export "_start") unreachable)
      (func (export "append") (param i32 i32) (result i32)
        (i32.store8 (local.get 0) (i32.load8_u (i32.const 1))) (i32.const 1)))"""
    instance = compile_wat(text).instantiate()
    assert [instance.run(b"").output for _ in range(2)] == [b"\7", b"\7"]


@pytest.mark.parametrize(("address", "size", "deallocs"), [(1024, 3, 1), (2048, 3, 2), (2048, 0, 1), (65_536, 0, 1)])
def test_packed_result_and_dealloc(address: int, size: int, deallocs: int) -> None:
    outcome = compile_wat(PACKED.format(address=address, size=size)).run(b"abc")
    assert outcome.output == {1024: b"abc", 2048: bytes(size), 65_536: b""}[address]
    assert outcome.log == b"d" * deallocs


@pytest.mark.parametrize(
    ("address", "size"), [(65_536, 1), (65_535, 2), (2**32 - 1, 2**32 - 1), (2**31, 0), (0, 65_537)]
)
def test_fault_29_packed_result_outside_memory(address: int, size: int) -> None:
    with pytest.raises(PointerError, match=r"beyond the memory of 65536 bytes"):
        compile_wat(PACKED.format(address=address, size=size)).run(b"abc")


@pytest.mark.parametrize("address", [65_536, 65_506, 2**31, 2**31 - 1, -1, -30])
def test_fault_29_buffer_outside_memory(address: int) -> None:
    alloc = f'(func (export "alloc") (param i32) (result i32) (i32.const {address}))'
    with pytest.raises(PointerError, match=r"alloc.*beyond the memory"):
        compile_wat(guest(alloc=alloc)).run(b"abc")


@pytest.mark.parametrize("size", [-1, -(2**31), 34, 2**31 - 1])
def test_fault_29_result_does_not_fit_the_buffer(size: int) -> None:
    with pytest.raises(PointerError if size < 0 else OverrunError, match=str(size)):
        compile_wat(entry(f"(i32.const {size})")).run(b"abc")


def test_result_may_fill_the_buffer_and_not_more() -> None:
    assert len(compile_wat(entry("(i32.const 33)")).run(b"abc").output) == 33
    with pytest.raises(OverrunError, match="at least 31"):
        compile_wat(entry("(i32.const 34)")).run(b"abc")
    assert len(compile_wat(entry("(i32.const 34)")).run(b"abc", headroom=31).output) == 34


def test_headroom_beyond_the_address_space() -> None:
    with pytest.raises(InputTooLargeError):
        compile_wat(guest()).run(b"abc", headroom=2**32 - 1)


def test_other_names() -> None:
    text = guest(
        ECHO.replace('"append"', '"go"'), ALLOC.replace('"alloc"', '"malloc"'), MEMORY.replace('"memory"', '"m"')
    )
    module = compile_wat(text)
    assert module.run(b"abc", memory="m", alloc="malloc", entry="go").output == b"abc"
    module.check_abi(memory="m", alloc="malloc", entry="go")
    with pytest.raises(MissingExportError, match=r'no memory "memory" \(it exports m, malloc, go\)'):
        module.check_abi()


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (guest(entry=""), MissingExportError, 'no entry function "append"'),
        (guest(alloc=""), MissingExportError, 'no alloc function "alloc"'),
        (guest(memory="(memory 1)"), MissingExportError, 'no memory "memory"'),
        ("(module)", MissingExportError, "it exports nothing"),
        (guest(alloc='(global (export "alloc") i32 (i32.const 1))'), WrongSignatureError, "global i32"),
        (guest(memory='(memory 1) (func (export "memory"))'), WrongSignatureError, "func ()"),
        (entry("(i32.const 0)").replace("(param $size i32)", "(param $size i64)"), WrongSignatureError, "i64"),
    ],
)
def test_exports_that_the_abi_misses(text: str, error: type[WaspiError], said: str) -> None:
    module = compile_wat(text)
    for attempt in (module.check_abi, lambda: module.run(b""), module.instantiate):
        with pytest.raises(error) as caught:
            attempt()
        assert said in str(caught.value)


def test_module_tells_about_itself() -> None:
    wasm = _wasmer.wat2wasm(
        b"""(module (import "env" "abort" (func (param i32 i32 i32 i32))) (memory (export "m") 1 3)
        (table (export "t") 4 funcref) (global (export "g") (mut i64) (i64.const 1))
        (func (export "f") (param i32 f64) (result i32 i64) unreachable))"""
    )
    module = _wasmer.Module.compile(wasm)
    assert module.sha256 == hashlib.sha256(wasm).hexdigest()
    assert module.imports == [("env", "abort", "func (i32, i32, i32, i32)")]
    assert module.exports == [
        ("m", "memory 1..3"),
        ("t", "table 4.."),
        ("g", "global mut i64"),
        ("f", "func (i32, f64) -> (i32, i64)"),
    ]


def test_an_import_may_be_the_alloc_function() -> None:
    """Legal, if odd: the host calls its own fd_close, which answers BADF (8)."""
    text = f"""(module (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      {MEMORY} (export "alloc" (func $close)) {ECHO})"""
    trace = compile_wat(text).run(b"abc", trace=True).trace
    assert trace is not None
    assert trace["pointer"] == 8


def test_wat_errors_name_line_and_column() -> None:
    with pytest.raises(InvalidModuleError, match=r"line 2, column 5"):
        _wasmer.wat2wasm(b"(module\n   (fnc))")
