"""What a script of the WebAssembly suite asserts, as code of the module itself.

The suite calls functions of many types and looks at their results; waspi calls two functions of fixed types. So each
assertion becomes a function that makes the call and gives 0 when all results are as expected.
"""

from __future__ import annotations

from typing import Any, Final

from tests.conformance.binary import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    FUNCTION,
    GLOBAL,
    I32,
    I64,
    V128,
    Module,
    Unsuitable,
    constant,
    unsigned,
)  # fmt: skip

TRAPS: Final = (
    ("integer divide by zero", "DivisionByZeroTrap"),
    ("integer overflow", "IntegerOverflowTrap"),
    ("invalid conversion to integer", "IntegerOverflowTrap"),
    ("unreachable", "UnreachableTrap"),
    ("out of bounds memory access", "MemoryOutOfBoundsTrap"),
    ("out of bounds table access", "TableOutOfBoundsTrap"),
    ("undefined element", "TableOutOfBoundsTrap"),
    ("uninitialized", "IndirectCallTrap"),
    ("indirect call", "IndirectCallTrap"),
    ("call stack exhausted", "StackOverflowTrap"),
)
"""How the suite's words begin, and the class of waspi's error."""
_TYPES: Final = {
    "i32": I32,
    "i64": I64,
    "f32": F32,
    "f64": F64,
    "v128": V128,
    "funcref": FUNCREF,
    "externref": EXTERNREF,
}
_NULLS: Final = frozenset({"refnull", "nullref", "nullfuncref", "nullexternref"})
_LANE_BYTES: Final = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "f32": 4, "f64": 8}
_NAN: Final = {
    ("f32", "nan:canonical"): (0x7FFFFFFF, 0x7FC00000),
    ("f32", "nan:arithmetic"): (0x7FC00000, 0x7FC00000),
    ("f64", "nan:canonical"): (0x7FFFFFFFFFFFFFFF, 0x7FF8000000000000),
    ("f64", "nan:arithmetic"): (0x7FF8000000000000, 0x7FF8000000000000),
}
"""Bits that are looked at, and what they have to be."""
_AND, _EQ, _IF, _END, _RETURN, _CALL = b"\x71", b"\x46", b"\x04\x40", b"\x0b", b"\x0f", b"\x10"

Json = dict[str, Any]


def trap(text: str) -> str:
    """The class of error for the suite's description of a trap."""
    for begin, name in TRAPS:
        if text.startswith(begin):
            return name
    raise Unsuitable(f"a trap that nothing is known of: {text}")


def function(module: Module, action: Json, expected: list[Json] | None) -> int:
    """Add a function without parameters: 0 when the action's results are as expected, else the first that is not.

    Its index; raises ``Unsuitable``.
    """
    kind, index = module.exports.get(action["field"], (None, 0))
    if action["type"] == "invoke" and kind == FUNCTION:
        params, results = module.signature(index)
        arguments = [_argument(argument) for argument in action["args"]]
        if tuple(kind for kind, _ in arguments) != params:
            raise Unsuitable("arguments of other types")
        code = b"".join(constant(kind, bits) for kind, bits in arguments) + _CALL + unsigned(index)
    elif action["type"] == "get" and kind == GLOBAL:
        results = (module.globals[index],)
        code = b"\x23" + unsigned(index)
    else:
        raise Unsuitable("it is not exported")
    code += b"".join(b"\x21" + unsigned(local) for local in reversed(range(len(results))))
    if expected is not None:
        if len(expected) != len(results):
            raise Unsuitable("another number of results")
        for local, value in enumerate(expected):
            code += _matches(value, local) + b"\x45" + _IF + constant(I32, local + 1) + _RETURN + _END
    return module.add_function(((), (I32,)), results, code + constant(I32, 0))


def _argument(value: Json) -> tuple[int, int]:
    """Type and bits."""
    kind = value["type"]
    if kind in _NULLS or (kind in ("funcref", "externref") and value.get("value") in ("null", None)):
        named = {"nullfuncref": FUNCREF, "funcref": FUNCREF, "nullexternref": EXTERNREF, "externref": EXTERNREF}
        if kind not in named:
            raise Unsuitable("a null of no known type")
        return named[kind], 0
    if kind == "externref":
        raise Unsuitable("a reference of the host")
    if kind == "v128":
        size = _LANE_BYTES[value["lane_type"]]
        if any(str(lane).startswith("nan") for lane in value["value"]):
            raise Unsuitable("any NaN as an argument")
        lanes = (int(lane) & ((1 << 8 * size) - 1) for lane in value["value"])
        return V128, int.from_bytes(b"".join(lane.to_bytes(size, "little") for lane in lanes), "little")
    if kind not in _TYPES:
        raise Unsuitable(f"an argument of type {kind}")
    return _TYPES[kind], int(value["value"]) & ((1 << 64 if kind in ("i64", "f64") else 1 << 32) - 1)


def _wanted(kind: str, text: str) -> tuple[int, int]:
    """Which bits are looked at, and what they have to be."""
    if (kind, text) in _NAN:
        return _NAN[kind, text]
    mask = (1 << 8 * _LANE_BYTES[kind]) - 1
    return mask, int(text) & mask


def _same(get: bytes, mask: int, wanted: int, *, wide: bool) -> bytes:
    kind, and_, equal = (I64, b"\x83", b"\x51") if wide else (I32, _AND, _EQ)
    return get + constant(kind, mask) + and_ + constant(kind, wanted) + equal


def _matches(value: Json, local: int) -> bytes:
    """Code that leaves 1 where the local is as expected."""
    get = b"\x20" + unsigned(local)
    kind = value["type"]
    if kind == "v128":
        lane, size = value["lane_type"], _LANE_BYTES[value["lane_type"]]
        pairs = [_wanted(lane, str(text)) for text in value["value"]]
        mask, wanted = (b"".join(pair[at].to_bytes(size, "little") for pair in pairs) for at in (0, 1))
        halves = [
            _same(
                get + b"\xfd\x1d" + bytes([half]),
                int.from_bytes(mask[8 * half : 8 * half + 8], "little"),
                int.from_bytes(wanted[8 * half : 8 * half + 8], "little"),
                wide=True,
            )
            for half in (0, 1)
        ]
        return b"".join(halves) + _AND
    if kind in ("i32", "i64", "f32", "f64"):
        bits = {"f32": b"\xbc", "f64": b"\xbd"}.get(kind, b"")
        return _same(get + bits, *_wanted(kind, str(value["value"])), wide=kind in ("i64", "f64"))
    if kind in _NULLS or kind in ("funcref", "externref"):
        null = kind in _NULLS or value.get("value") == "null"
        if kind == "externref" and not null:
            raise Unsuitable("a reference of the host")
        return get + b"\xd1" + (b"" if null else b"\x45")
    raise Unsuitable(f"a result of type {kind}")
