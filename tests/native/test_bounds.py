"""What is refused before it is compiled (FAULTS 27, 28)."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.native.wat import COMPILES, compile_wat, entry, guest
from waspi import _wasmer
from waspi._wasmer import Bounds
from waspi.errors import (
    CompileError,
    InvalidModuleError,
    LinkError,
    MissingExportError,
    ModuleTooLargeError,
    UnsupportedFeatureError,
    WrongSignatureError,
)
from waspi.sandbox.settings import ModuleBounds

DROPS = "(drop (i32.const 0))"
SEED = '(import "env" "seed" (func (result f64)))'
ONE = "(global i32 (i32.const 1))"
# Bound, its value, parts of a module that just keeps it, of one that does not, what the message says.
BOUNDS = [
    ("functions", 3, "(func)" * 3, "(func)" * 4, "4 functions"),
    ("functions", 1, SEED, f"{SEED} (func)", "2 functions"),
    ("body_bytes", 12, f"(func {DROPS})", f"(func {DROPS * 4})", "bytes in one function"),
    ("locals", 5, "(func (local i32 i32 i64 i64 f32))", "(func (local i32 i32 i64 i64 f32 f32))", "6 locals"),
    ("params", 3, "(func (param i32 i32 i32))", "(func (param i32 i32 i32 i32))", "4 parameters"),
    ("memory_bytes", 131_072, "(memory 2)", "(memory 3)", "196608 bytes of initial memory"),
    ("table_elements", 8, "(table 4 funcref)" * 2, "(table 3 funcref)" * 3, "9 initial table elements"),
    ("globals", 1, ONE, ONE * 2, "2 globals"),
    ("nesting", 4, f"(func {'(block ' * 4}{')' * 4})", f"(func {'(block ' * 5}{')' * 5})", "5 nested blocks"),
    ("data_segments", 1, '(memory 1) (data "a")', '(memory 1) (data "a") (data "b")', "2 data segments"),
    ("code_bytes", 30, "(func)", f"(func {DROPS * 10})", "bytes of code"),
    ("module_bytes", 40, "(func)", f'(func) (@custom "padding" "{"0" * 40}")', "bytes"),
]


@pytest.mark.parametrize(("name", "value", "inside", "outside", "said"), BOUNDS)
def test_fault_27_each_bound(name: str, value: int, inside: str, outside: str, said: str) -> None:
    bounds = Bounds(**{name: value})
    assert getattr(bounds, name) == value
    compile_wat(f"(module {inside})", bounds)
    compile_wat(f"(module {outside})")
    with pytest.raises(ModuleTooLargeError, match=rf"{said}.*the bound is {value}"):
        compile_wat(f"(module {outside})", bounds)


FIXED = {
    "branch targets": entry("(block (br_table " + "0 " * 65_540 + "(local.get 0))) (i32.const 0)"),
    "loops": entry("(loop)" * 2_001 + "(i32.const 0)"),
    "locals times ways": entry("(local " + "i32 " * 2_000 + ")" + "(block)" * 2_000 + "(i32.const 0)"),
    "values on one function's stack": entry("(i32.const 0)" * 4_097 + "(i32.add)" * 4_096),
    "types": "(module " + "(type (func))" * 10_001 + ")",
    "results": f"(module (type (func (result {'i32 ' * 17}))))",
    "tables": "(module " + "(table 0 funcref)" * 17 + ")",
    "exports": '(module (func $f) ' + "".join(f'(export "{n}" (func $f))' for n in range(10_001)) + ")",
    "bytes in an export's name": f'(module (func (export "{"n" * 1_025}")))',
    "imports": "(module " + '(import "env" "seed" (func (result f64)))' * 1_001 + ")",
    "sections": "(module " + '(@custom "a" "b")' * 1_001 + ")",
}  # fmt: skip


@pytest.mark.parametrize("what", FIXED)
def test_fault_27_fixed_bounds(what: str) -> None:
    with pytest.raises(ModuleTooLargeError, match=what):
        compile_wat(FIXED[what])


def test_the_bounds_of_a_device_are_the_engine_s_own() -> None:
    mine = asdict(ModuleBounds())
    del mine["compile_ms"]  # the supervisor's, who has less patience
    assert {name: getattr(Bounds(), name) for name in mine} == mine


def test_what_go_emits_is_within_the_bounds() -> None:
    """Go 1.26 with ``encoding/json``: 37,045 data segments, blocks 3,289 deep, a branch to each of them."""
    segments = "".join(f'(data (i32.const {at}) "a")' for at in range(37_045))
    deep = 3_289
    nested = f"{'(block ' * deep}(br_table {' '.join(map(str, range(deep)))} (local.get $size)){')' * deep}"
    module = compile_wat(f"""(module (memory (export "memory") 1) {segments}
      (func (export "alloc") (param i32) (result i32) (i32.const 40000))
      (func (export "append") (param $ptr i32) (param $size i32) (result i32)
        {nested} (i32.load8_u (i32.const 37044))))""")
    assert len(module.run(b"", headroom=200).output) == ord("a")


def test_fault_27_compile_time_is_bounded() -> None:
    body = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 7))))" * 50
    text = "(module " + f"(func (param i32) {body})" * 300 + ")"
    compile_wat(text)
    with pytest.raises(CompileError, match=r"took too long|did not validate in the time"):
        compile_wat(text, Bounds(compile_ms=1))


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("(module (memory i64 1))", "memory64"),
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "threads"),
        ("(module (memory 1) (memory 1))", "multi-memory"),
        ("(module (tag (param i32)))", "exceptions"),
        ("(module (func $f (return_call $f)))", "tail calls"),
        ("(module (func (param v128) (result v128) (f32x4.relaxed_min (local.get 0) (local.get 0))))", "SIMD"),
        ("(module (type (struct)))", "garbage collection"),
        ("(module (type $f (func)) (func (param (ref $f))))", "function references"),
        ("(module (func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 1))))", "wide arithmetic"),
        ("(module (memory 1 (pagesize 1)))", "custom page sizes"),
    ],
)
def test_fault_28_features_are_refused_by_name(text: str, feature: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=feature):
        compile_wat(text)


@pytest.mark.parametrize("size", [0, 14_000, 17 << 20])
def test_fault_28_components_are_refused_by_name_before_their_size(size: int) -> None:
    component = b"\0asm\x0d\0\x01\0" + bytes(size)
    for act in (_wasmer.Module.compile, _wasmer.strip):
        with pytest.raises(UnsupportedFeatureError, match=r"component model.*core modules: build for wasm32-wasip1"):
            act(component)


@pytest.mark.parametrize(
    "wasm",
    [
        b"\0asm\1\0\0\0\x05\x03\x01\x7f\x00",  # limits of no kind
        _wasmer.wat2wasm(b"(module (func (drop (i32.const 7))))").replace(b"\x41\x07\x1a", b"\xfe\x7f\x1a"),
        _wasmer.wat2wasm(b"(module (func (drop (i32.const 7))))").replace(b"\x41\x07\x1a", b"\x27\x07\x1a"),
        _wasmer.wat2wasm(b"(module (func (drop (i32.const 7))))").replace(b"\x41\x07\x1a", b"\x41\x07\x01"),
        _wasmer.wat2wasm(b"(module (func (drop (i32.const 7))))")[:-2],
        b"\0asm\1\0\0\0" + bytes(range(64)),
    ],
    ids=["limits", "prefix of threads", "no operator", "left on the stack", "cut", "noise"],
)
def test_fault_28_what_is_malformed_is_not_called_a_feature(wasm: bytes) -> None:
    with pytest.raises(InvalidModuleError, match="does not validate"):
        _wasmer.Module.compile(wasm)


BRANCHES = "".join(f"(br_if {depth} (local.get 0))" for depth in range(1_000))
SLOW = f"(func (param i32) {'(block ' * 500}{'(loop ' * 500}{BRANCHES}{')' * 1_000})"
"""Small, and long to compile: hundreds of milliseconds."""


@pytest.mark.skipif(not COMPILES, reason="the interpreter has no compiler that could take long")
def test_exports_and_imports_are_checked_before_anything_is_compiled() -> None:
    """The compiler would be stopped long before it is done, and that is what would be told."""
    names = ("memory", "alloc", "append")
    bounds = Bounds(compile_ms=2_000)
    code = SLOW * 30
    memory = '(memory (export "memory") 1)'
    with pytest.raises(CompileError):
        compile_wat(f"(module {memory} {code})", bounds)
    for text, error in [
        (f"(module {memory} {code})", MissingExportError),
        (f'(module {memory} (func (export "alloc")) {code})', WrongSignatureError),
        (f'(module (import "env" "nothing" (func)) {code})', LinkError),
    ]:
        with pytest.raises(error):
            _wasmer.Module.compile(_wasmer.wat2wasm(text.encode()), bounds=bounds, abi=names)


@pytest.mark.parametrize(
    "body",
    [
        "(i32.extend8_s (local.get 0))",
        "(i32.trunc_sat_f64_u (f64.const -1e99))",
        "(memory.copy (i32.const 0) (i32.const 8) (i32.const 1)) (i32.const 0)",
        "(ref.is_null (ref.null extern))",
        "(i32.const 1) (i32.const 2) (block (param i32 i32) (result i32) (i32.add))",
    ],
)
def test_what_compilers_emit_by_default_is_on(body: str) -> None:
    compile_wat(entry(body)).run(b"")


def test_simd_is_on_where_the_engine_compiles() -> None:
    text = entry("(i32x4.extract_lane 0 (i32x4.splat (i32.const 0)))")
    if COMPILES:
        assert compile_wat(text).run(b"").output == b""
    else:
        with pytest.raises(UnsupportedFeatureError, match="SIMD"):
            compile_wat(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('(import "env" "open" (func))', r"unknown function env\.open: of env the host offers abort, seed"),
        ('(import "wasi_snapshot_preview1" "fork" (func))', "wasi_snapshot_preview1.fork"),
        (
            '(import "wasi_unstable" "fd_write" (func))',
            "the host offers functions of wasi_snapshot_preview1, env and waspi only",
        ),
        ('(import "env" "seed" (func (result f32)))', r"env.seed as func \(\) -> f32, the host's is func \(\) -> f64"),
        ('(import "env" "memory" (memory 1))', "env.memory .memory 1"),
        ('(import "env" "table" (table 1 funcref))', "env.table"),
        ('(import "env" "base" (global i32))', "env.base .global i32"),
    ],
)
def test_fault_28_imports_are_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(LinkError, match=said):
        compile_wat(f"(module {text})")


WHOLE = _wasmer.strip(_wasmer.wat2wasm(guest().encode()))


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_truncated_modules_are_invalid_or_incomplete(cut: int) -> None:
    """At a section's border what is left may be a module by itself; but never does it crash or run."""
    with pytest.raises((InvalidModuleError, MissingExportError)) as caught:
        _wasmer.Module.compile(WHOLE[:cut]).run(b"")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("wasm", "said"),
    [
        (b"", "it is empty"),
        (b"\x7fELF and more", "does not start with"),
        (b"\0asm\x02\0\0\0", "unknown binary version|does not validate"),
        (WHOLE + b"\0", "does not validate"),
    ],
)
def test_bytes_that_are_no_module(wasm: bytes, said: str) -> None:
    with pytest.raises(InvalidModuleError, match=said):
        _wasmer.Module.compile(wasm)


def test_strip_drops_custom_sections_and_nothing_else() -> None:
    text = guest().replace("(module", '(module (@custom "debug" (after last) "0123456789")')
    wasm = _wasmer.wat2wasm(text.encode())
    stripped = _wasmer.strip(wasm)
    assert b"0123456789" in wasm
    assert b"0123456789" not in stripped
    assert _wasmer.strip(stripped) == stripped
    assert _wasmer.Module.compile(stripped).run(b"abc").output == b"abc"
    with pytest.raises(InvalidModuleError):
        _wasmer.strip(b"no module")


def test_bounds_have_a_repr() -> None:
    assert repr(Bounds(functions=7)).startswith("Bounds(module_bytes=16777216, functions=7, ")
