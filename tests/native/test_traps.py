"""Every trap has its own class, and names function and place (FAULTS 32)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native.wat import ALLOC, COMPILES, ECHO, LIMITS, MEMORY, compile_wat, entry, guest
from waspi import _wasmer, errors
from waspi.errors import Trap

ABI = Path(__file__).resolve().parents[2] / "guests" / "ABI.md"
TABLE = """(type $nothing (func)) (type $one (func (param i32) (result i32)))
  (table 4 funcref) (elem (i32.const 0) $alloc)"""
CALL = "(call_indirect (type $nothing) (i32.const {index})) (i32.const 0)"

# Name, class, body of $append, opcode at the place that is named. Metering puts code in front of calls, branches and a
# function's first instruction, and moves the place of a trap there to the end of the instruction.
AFTER_CALL = b"\x41"
TRAPS = [
    ("unreachable", errors.UnreachableTrap, "nop unreachable", b"\x00"),
    ("load", errors.MemoryOutOfBoundsTrap, "(i32.load (i32.const 65533))", b"\x28"),
    (
        "store",
        errors.MemoryOutOfBoundsTrap,
        "(i64.store (i32.const 65529) (i64.const 1)) (i32.const 0)",
        b"\x37",
    ),
    ("huge offset", errors.MemoryOutOfBoundsTrap, "(i32.load offset=0xffffffff (i32.const -1))", b"\x28"),
    ("div", errors.DivisionByZeroTrap, "(i32.div_s (i32.const 1) (i32.const 0))", b"\x6d"),
    ("rem", errors.DivisionByZeroTrap, "(i32.wrap_i64 (i64.rem_u (i64.const 1) (i64.const 0)))", b"\x82"),
    ("overflow", errors.IntegerOverflowTrap, "(i32.div_s (i32.const 0x80000000) (i32.const -1))", b"\x6d"),
    ("nan", errors.IntegerOverflowTrap, "(i32.trunc_f64_s (f64.const nan))", b"\xaa"),
    ("infinity", errors.IntegerOverflowTrap, "(i32.trunc_f32_u (f32.const inf))", b"\xa9"),
    (
        "null element",
        errors.IndirectCallTrap,
        CALL.format(index=3),
        AFTER_CALL,
    ),
    ("other type", errors.IndirectCallTrap, CALL.format(index=0), AFTER_CALL),
    (
        "beyond table",
        errors.TableOutOfBoundsTrap,
        CALL.format(index=4),
        AFTER_CALL,
    ),
    ("table.get", errors.TableOutOfBoundsTrap, "(ref.is_null (table.get 0 (i32.const 4)))", None),
    (
        "fill",
        errors.MemoryOutOfBoundsTrap,
        "(memory.fill (i32.const 65530) (i32.const 0) (i32.const 7)) (i32.const 0)",
        None,
    ),
    (
        "copy",
        errors.MemoryOutOfBoundsTrap,
        "(memory.copy (i32.const 0) (i32.const -1) (i32.const 1)) (i32.const 0)",
        None,
    ),
]


@pytest.mark.parametrize(("name", "error", "body", "opcode"), TRAPS, ids=[trap[0] for trap in TRAPS])
@pytest.mark.parametrize("loaded", [False, True], ids=["compiled", "loaded"])
def test_fault_32_each_trap_has_its_class(
    *, name: str, error: type[Trap], body: str, opcode: bytes | None, loaded: bool
) -> None:
    text = entry(body, TABLE)
    # Custom sections before and after the code, which the compiler never sees: places are those of the bytes given.
    wasm = _wasmer.wat2wasm(
        text.replace("(module", '(module (@custom "first" (before first) "0123456789")', 1).encode()
    )
    module = _wasmer.Module.compile(wasm)
    if loaded:
        module = _wasmer.Module.load(module.serialize())
    with pytest.raises(error) as caught:
        module.run(b"abc", **LIMITS)
    trap = caught.value
    assert type(trap) is error, name
    assert trap.fuel > 0
    assert trap.memory_bytes == 65_536
    if not COMPILES:
        assert (trap.function, trap.offset) == (None, None)
        return
    assert trap.function == "append"
    assert trap.offset is not None
    if opcode is not None:
        assert wasm[trap.offset : trap.offset + 1] == opcode
    assert f"in append (at byte {trap.offset} of the module)" in trap.message


SELF = "(type $self (func (param i32 i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $append)"


@pytest.mark.parametrize("call", ["call $append", "call_indirect (type $self)"])
def test_fault_32_recursion_uses_up_the_stack(call: str) -> None:
    index = "(i32.const 0)" if "indirect" in call else ""
    module = compile_wat(entry(f"({call} (local.get $ptr) (local.get $size) {index})", SELF))
    for _ in range(3):
        with pytest.raises(errors.StackOverflowTrap, match="call stack is used up"):
            module.run(b"", **LIMITS)


IN_MEMORY = "(global $stack (mut i32) (i32.const {first}))"
"""What LLVM's linker makes of ``__stack_pointer`` when the stack lies at the start of the memory."""
FRAME = """
(global.set $stack (i32.sub (global.get $stack) (i32.const 4096)))
(i32.store offset=16 (global.get $stack) (local.get $size))
(call $append (local.get $ptr) (local.get $size))
"""


def test_fault_32_recursion_uses_up_a_stack_in_memory() -> None:
    module = compile_wat(entry(FRAME, IN_MEMORY.format(first=65_536)))
    for each in (module, _wasmer.Module.load(module.serialize())):
        with pytest.raises(errors.StackOverflowTrap, match="its stack in linear memory is used up; recurse less, or"):
            each.run(b"", **LIMITS)


@pytest.mark.parametrize("first", ["-4096", "65536"])
def test_an_access_out_of_bounds_with_a_sound_stack_is_called_so(first: str) -> None:
    wild = entry("(i32.load (i32.const -4))", IN_MEMORY.format(first=first))
    with pytest.raises(errors.MemoryOutOfBoundsTrap):
        compile_wat(wild).run(b"", **LIMITS)


@pytest.mark.skipif(shutil.which("wasm-ld") is None, reason="runs where guests are built: clang is not on a board")
def test_fault_32_recursion_in_c_with_the_documented_flags(tmp_path: Path) -> None:
    source, compiled, linked = tmp_path / "deep.c", tmp_path / "deep.o", tmp_path / "deep.wasm"
    source.write_text(
        """
        static char buffer[64];
        __attribute__((export_name("alloc"))) void *alloc(unsigned size) { return size > 64 ? 0 : buffer; }
        static int down(volatile char *above, int depth) {
            volatile char mine[512];
            mine[0] = above[0] + 1;
            return depth ? down(mine, depth - 1) + mine[0] : mine[0];
        }
        __attribute__((export_name("append"))) int append(char *data, int size) { return down(data, 1 << 20) & 1; }
        """
    )
    commands = re.findall(r"^(?:clang|wasm-ld) .*$", ABI.read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands[:2]] == ["clang", "wasm-ld"]
    for command in commands[:2]:
        words = command.replace("shout-c.wasm", str(linked)).replace("shout.o", str(compiled))
        subprocess.run(words.replace("shout.c", str(source)).split(), check=True)
    with pytest.raises(errors.StackOverflowTrap, match="its stack in linear memory is used up"):
        _wasmer.Module.compile(linked.read_bytes()).run(b"x", **LIMITS)


@pytest.mark.parametrize(
    ("part", "function"),
    [
        (guest(alloc='(func $mine (export "alloc") (param i32) (result i32) unreachable)'), "mine"),
        (f"(module {MEMORY} {ALLOC} {ECHO} (func $begin unreachable) (start $begin))", "begin"),
        (f'(module {MEMORY} {ALLOC} {ECHO} (func (export "_initialize") unreachable))', "_initialize"),
        (f'(module {MEMORY} {ALLOC} {ECHO} (func (export "dealloc") (param i32 i32) unreachable))', "dealloc"),
        (entry("(call 2) (i32.const 0)")[:-1] + "(func unreachable))", "func[2]"),
    ],
)
def test_the_function_is_named_wherever_the_host_calls(part: str, function: str) -> None:
    with pytest.raises(errors.UnreachableTrap) as caught:
        compile_wat(part).run(b"")
    assert caught.value.function == (function if COMPILES else None)


def test_exit_has_its_code() -> None:
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "alloc") (param i32) (result i32) (i32.const 0))
      (func (export "append") (param i32 i32) (result i32) (call $exit (local.get 1)) unreachable))"""
    module = compile_wat(text)
    for code in (0, 7):
        with pytest.raises(errors.ExitTrap) as caught:
            module.run(bytes(code))
        assert caught.value.code == code
        assert f"proc_exit({code})" in caught.value.message


def utf16(text: str) -> str:
    data = text.encode("utf-16-le")
    return "".join(f"\\{byte:02x}" for byte in len(data).to_bytes(4, "little") + data)


def test_assemblyscript_abort_has_message_and_place() -> None:
    text = f"""(module (import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 1)
      (data (i32.const 96) "{utf16("Index out of range: ä")}") (data (i32.const 196) "{utf16("assembly/index.ts")}")
      {ALLOC}
      (func (export "append") (param i32 i32) (result i32)
        (call $abort (i32.const 100) (i32.const 200) (i32.const 12) (i32.const 5)) unreachable))"""
    with pytest.raises(errors.AbortTrap, match=r"Index out of range: ä \(assembly/index\.ts:12:5\)"):
        compile_wat(text).run(b"")


def test_texts_of_the_guest_make_one_printable_line() -> None:
    said = chr(27) + "[31m" + chr(10) + chr(0x202E) + "x" * 900
    text = f"""(module (import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 1)
      (data (i32.const 96) "{utf16(said)}") {ALLOC}
      (func (export "append") (param i32 i32) (result i32)
        (call $abort (i32.const 100) (i32.const -1) (i32.const -1) (i32.const 0)) unreachable))"""
    with pytest.raises(errors.AbortTrap) as caught:
        compile_wat(text).run(b"")
    assert caught.value.message.isprintable()
    assert r"\u{1b}[31m\n\u{202e}xxx" in caught.value.message


def test_a_trap_in_one_run_leaves_the_next_alone() -> None:
    module = compile_wat(entry("(if (local.get $size) (then (unreachable))) (i32.const 0)"))
    for _ in range(50):
        with pytest.raises(errors.UnreachableTrap):
            module.run(b"x")
        assert module.run(b"").output == b""
