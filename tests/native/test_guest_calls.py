"""What a guest may ask of waspi itself, and the script that an engine is given before its input."""

from __future__ import annotations

import pytest

from tests.native.wat import ALLOC, ECHO, LIMITS, MEMORY, compile_wat
from waspi.errors import (
    BadInputError,
    ExceptionError,
    InvalidScriptError,
    MissingExportError,
    PointerError,
    WrongSignatureError,
)

FAIL = '(import "waspi" "fail" (func $fail (param i32 i32 i32)))'
ENGINE = f"""(module {MEMORY} {ALLOC} (global $size (mut i32) (i32.const 0))
  (func (export "load") (param i32 i32)
    (memory.copy (i32.const 4096) (local.get 0) (local.get 1)) (global.set $size (local.get 1)))
  (func (export "append") (param i32 i32) (result i32)
    (memory.copy (local.get 0) (i32.const 4096) (global.get $size)) (global.get $size)))"""


@pytest.mark.parametrize(
    ("whose", "error"), [(0, ExceptionError), (1, BadInputError), (2, InvalidScriptError), (3, ExceptionError)]
)
def test_a_guest_says_whose_fault_it_is(whose: int, error: type[Exception]) -> None:
    text = '(data (i32.const 8) "too hot: \\c3\\a9\\ff\\n")'
    body = f"(call $fail (i32.const {whose}) (i32.const 8) (i32.const 13)) (unreachable)"
    module = compile_wat(
        f'(module {FAIL} {MEMORY} {text} {ALLOC} (func (export "append") (param i32 i32) (result i32) {body}))'
    )
    with pytest.raises(error, match=r"^too hot: é\ufffd\\n$"):
        module.run(b"", **LIMITS)


@pytest.mark.parametrize(("at", "size"), [(0, 0), (-1, 5), (65_530, 100)])
def test_a_message_that_is_not_there(at: int, size: int) -> None:
    body = f"(call $fail (i32.const 0) (i32.const {at}) (i32.const {size})) (unreachable)"
    module = compile_wat(
        f'(module {FAIL} {MEMORY} {ALLOC} (func (export "append") (param i32 i32) (result i32) {body}))'
    )
    with pytest.raises(ExceptionError, match="gave no reason"):
        module.run(b"", **LIMITS)


def test_an_engine_is_given_its_script_before_each_run() -> None:
    engine = compile_wat(ENGINE)
    first, second = engine.with_script(b"one"), engine.with_script(bytearray(b"another"))
    assert first.run(b"in", **LIMITS).output == b"one"
    assert second.run(b"in", **LIMITS).output == b"another"
    assert engine.run(b"in", **LIMITS).output == b""
    with first.instantiate(**LIMITS) as instance:
        assert [instance.run(b"in").output for _ in range(2)] == [b"one", b"one"]


def test_a_script_that_does_not_fit_the_guest_s_memory() -> None:
    with pytest.raises(PointerError):
        compile_wat(ENGINE).with_script(bytes(100_000)).run(b"", **LIMITS)


def test_a_module_that_takes_no_script() -> None:
    with pytest.raises(MissingExportError, match="load function"):
        compile_wat(f"(module {MEMORY} {ALLOC} {ECHO})").with_script(b"x").run(b"", **LIMITS)
    with pytest.raises(WrongSignatureError, match="load"):
        compile_wat(f'(module {MEMORY} {ALLOC} {ECHO} (func (export "load")))').with_script(b"x").run(b"", **LIMITS)


def test_the_environment_is_what_the_caller_gives() -> None:
    wasi = '(import "wasi_snapshot_preview1"'
    module = compile_wat(f"""(module
      {wasi} "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      {wasi} "environ_get" (func $get (param i32 i32) (result i32)))
      {MEMORY} {ALLOC}
      (func (export "append") (param i32 i32) (result i32)
        (drop (call $sizes (local.get 0) (i32.add (local.get 0) (i32.const 4))))
        (drop (call $get (i32.add (local.get 0) (i32.const 8)) (i32.add (local.get 0) (i32.const 16))))
        (i32.const 30)))""")
    assert module.run(b"", **LIMITS).output[:8] == bytes(8)
    output = module.run(b"", environment=b"A=1\0BC=\xc3\xa9\0cut", **LIMITS).output
    count, size, first, second = (int.from_bytes(output[at : at + 4], "little") for at in range(0, 16, 4))
    assert (count, size, first, second) == (2, 10, 1024 + 16, 1024 + 20)
    assert output[16:26] == b"A=1\0BC=\xc3\xa9\0"
