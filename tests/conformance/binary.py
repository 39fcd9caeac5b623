"""Changes to a WebAssembly binary that leave every index in it as it is (core specification 2.0, chapter 5).

A module gets functions and exports behind its own, and definitions in place of its imports. Imports come first in the
index space of their kind, so that a definition at the front of its section takes the import's index.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

I32, I64, F32, F64, V128, FUNCREF, EXTERNREF = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F
FUNCTION, TABLE, MEMORY, GLOBAL = range(4)
"""Kinds of imports and exports (5.5.5)."""

_VALUE_TYPES: Final = frozenset({I32, I64, F32, F64, V128, FUNCREF, EXTERNREF})
_TYPES, _IMPORTS, _FUNCTIONS, _TABLES, _MEMORIES, _GLOBALS, _EXPORTS, _START, _ELEMENTS, _CODE, _DATA, _COUNT = range(
    1, 13
)
_ORDER: Final = (
    _TYPES, _IMPORTS, _FUNCTIONS, _TABLES, _MEMORIES, _GLOBALS, _EXPORTS, _START, _ELEMENTS, _COUNT, _CODE, _DATA,
)  # fmt: skip
_WHOLE: Final = frozenset({_START, _COUNT})
"""Sections that are no vectors."""
_PAGE_LIMITS: Final = b"\x01\x01\x02"
"""spectest's memory: one page, at most two."""
_TABLE_LIMITS: Final = bytes([1, 10, 20])

Signature = tuple[tuple[int, ...], tuple[int, ...]]
"""Types of parameters and of results."""


class Unsuitable(Exception):  # noqa: N818 - no fault of anybody
    """The module, or what is asked of it, is beyond what can be changed here; the text says why."""


def unsigned(number: int) -> bytes:
    """LEB128 of a number that is not negative."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | 0x80 if number else low)
        if not number:
            return bytes(out)


def signed(number: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        done = number == (-1 if low & 0x40 else 0)
        out.append(low if done else low | 0x80)
        if done:
            return bytes(out)


def constant(kind: int, bits: int) -> bytes:
    """The instruction that leaves a value with these bits; of a reference, null."""
    if kind in (I32, I64):
        width = 32 if kind == I32 else 64
        number = bits - (1 << width) if bits >> (width - 1) else bits
        return bytes([0x41 if kind == I32 else 0x42]) + signed(number)
    if kind in (FUNCREF, EXTERNREF):
        return bytes([0xD0, kind])
    head, size = {F32: (b"\x43", 4), F64: (b"\x44", 8), V128: (b"\xfd\x0c", 16)}[kind]
    return head + bits.to_bytes(size, "little")


class Reader:
    """A place in bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.data)

    def byte(self) -> int:
        """The next byte; raises ``Unsuitable`` at the end."""
        return self.take(1)[0]

    def number(self) -> int:
        """Unsigned LEB128."""
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if self.at + size > len(self.data):
            raise Unsuitable("the module is cut")
        self.at += size
        return self.data[self.at - size : self.at]

    def name(self) -> str:
        """A name."""
        try:
            return self.take(self.number()).decode()
        except UnicodeDecodeError as error:
            raise Unsuitable("a name that is no UTF-8") from error

    def value_type(self) -> int:
        """A number, vector or reference type."""
        kind = self.byte()
        if kind not in _VALUE_TYPES:
            raise Unsuitable(f"a value of type {kind:#x}")
        return kind

    def limits(self) -> tuple[int, int | None]:
        """Minimum and maximum."""
        flags = self.byte()
        if flags > 1:
            raise Unsuitable("limits of another kind")
        return self.number(), self.number() if flags else None

    def skip_expression(self) -> None:
        """A constant expression (3.3.10)."""
        while (operator := self.byte()) != 0x0B:
            match operator:
                case 0x41 | 0x42 | 0x23 | 0xD2 | 0xD0:
                    self.number()
                case 0x43 | 0x44:
                    self.take(4 if operator == 0x43 else 8)
                case 0x6A | 0x6B | 0x6C | 0x7C | 0x7D | 0x7E:
                    pass
                case 0xFD if self.number() == 12:
                    self.take(16)
                case _:
                    raise Unsuitable(f"a constant expression with {operator:#x}")


@dataclass
class Import:
    """What a module imports."""

    module: str
    name: str
    kind: int
    type: int = 0
    """Of a function the index of its type; of a table or a global its value type."""
    mutable: int = 0


@dataclass
class Module:
    """A binary that can be added to."""

    sections: dict[int, bytes] = field(default_factory=dict)
    """Contents by id, without custom ones."""
    types: list[Signature] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type of every function, imported ones first."""
    globals: list[int] = field(default_factory=list)
    """Type of every global."""
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)
    memories: int = 0
    tables: int = 0
    _before: dict[int, list[bytes]] = field(default_factory=dict)
    _behind: dict[int, list[bytes]] = field(default_factory=dict)

    @classmethod
    def read(cls, wasm: bytes) -> Module:
        """Read a core module; raises ``Unsuitable``."""
        if wasm[:8] != b"\0asm\1\0\0\0":
            raise Unsuitable("this is no core module")
        module = cls()
        reader = Reader(wasm, 8)
        while not reader.ended:
            section = reader.byte()
            contents = reader.take(reader.number())
            if section:
                module.sections[section] = contents
        for section, contents in module.sections.items():
            module._read_section(section, Reader(contents))
        return module

    def _read_section(self, section: int, reader: Reader) -> None:
        if section in _WHOLE:
            return
        for _ in range(reader.number()):
            match section:
                case 1:
                    if reader.byte() != 0x60:
                        raise Unsuitable("a type that is no plain function type")
                    params = tuple(reader.value_type() for _ in range(reader.number()))
                    results = tuple(reader.value_type() for _ in range(reader.number()))
                    self.types.append((params, results))
                case 2:
                    self._read_import(reader)
                case 3:
                    self.functions.append(reader.number())
                case 4:
                    self.tables += 1
                case 5:
                    self.memories += 1
                case 6:
                    self.globals.append(reader.value_type())
                    reader.byte()
                    reader.skip_expression()
                case 7:
                    name, kind = reader.name(), reader.byte()
                    self.exports[name] = kind, reader.number()
                case _:
                    return

    def _read_import(self, reader: Reader) -> None:
        found = Import(reader.name(), reader.name(), reader.byte())
        match found.kind:
            case 0:
                found.type = reader.number()
                self.functions.append(found.type)
            case 1:
                found.type = reader.byte()
                reader.limits()
                self.tables += 1
            case 2:
                reader.limits()
                self.memories += 1
            case 3:
                found.type, found.mutable = reader.value_type(), reader.byte()
                self.globals.append(found.type)
            case kind:
                raise Unsuitable(f"an import of kind {kind}")
        self.imports.append(found)

    def signature(self, function: int) -> Signature:
        """Type of a function by its index."""
        return self.types[self.functions[function]]

    def body(self, function: int) -> bytes | None:
        """Locals and code of a function of the module's own."""
        own = function - sum(entry.kind == FUNCTION for entry in self.imports)
        reader = Reader(self.sections.get(_CODE, b"\0"))
        bodies = [reader.take(reader.number()) for _ in range(reader.number())]
        return bodies[own] if own >= 0 else None

    def constant_body(self, name: str) -> bytes | None:
        """Body of an exported function that gives a constant and does nothing else."""
        kind, index = self.exports.get(name, (None, 0))
        body = self.body(index) if kind == FUNCTION else None
        if body is None or body[0] != 0 or body[1] not in (0x41, 0x42):
            return None
        reader = Reader(body, 2)
        reader.number()
        return body if body[reader.at :] == b"\x0b" else None

    def add_function(self, signature: Signature, locals_: tuple[int, ...], code: bytes) -> int:
        """Add a function behind all others; its index."""
        if signature not in self.types:
            self.types.append(signature)
            parts = (unsigned(len(part)) + bytes(part) for part in signature)
            self._add(self._behind, _TYPES, b"\x60" + b"".join(parts))
        kind = self.types.index(signature)
        body = unsigned(len(locals_)) + b"".join(bytes([1, local]) for local in locals_) + code + b"\x0b"
        self._add(self._behind, _FUNCTIONS, unsigned(kind))
        self._add(self._behind, _CODE, unsigned(len(body)) + body)
        self.functions.append(kind)
        return len(self.functions) - 1

    def add_export(self, name: str, kind: int, index: int) -> None:
        """Export something under a name of its own."""
        raw = name.encode()
        self._add(self._behind, _EXPORTS, unsigned(len(raw)) + raw + bytes([kind]) + unsigned(index))

    def need_memory(self) -> None:
        """Add a memory of one page where there is none."""
        if not self.memories:
            self.memories = 1
            self._add(self._behind, _MEMORIES, b"\x00\x01")

    def define_imports(self, others: dict[str, Module]) -> None:
        """Turn what is imported into definitions of the same value.

        Known are ``spectest`` (the suite's README) and functions of ``others`` that give a constant.
        Raises ``Unsuitable`` for anything else.
        """
        for entry in self.imports:
            other = others.get(entry.module)
            body = other.constant_body(entry.name) if other is not None and entry.kind == FUNCTION else None
            if other and body and other.signature(other.exports[entry.name][1]) == self.types[entry.type]:
                self._define_function(entry, body)
                continue
            if entry.module != "spectest":
                raise Unsuitable("it imports state of another module")
            match entry.kind:
                case 0 if entry.name.startswith("print") and not self.types[entry.type][1]:
                    self._define_function(entry, b"\x00\x0b")
                case 1:
                    self._add(self._before, _TABLES, bytes([entry.type]) + _TABLE_LIMITS)
                case 2:
                    self._add(self._before, _MEMORIES, _PAGE_LIMITS)
                case 3 if self._is_used_in_constants(entry):
                    raise Unsuitable("it imports a global for a constant expression")
                case 3 if entry.type in (I32, I64, F32, F64):
                    value = {
                        F32: int.from_bytes(struct.pack("<f", 666.6), "little"),
                        F64: int.from_bytes(struct.pack("<d", 666.6), "little"),
                    }.get(entry.type, 666)
                    head = bytes([entry.type, entry.mutable])
                    self._add(self._before, _GLOBALS, head + constant(entry.type, value) + b"\x0b")
                case _:
                    raise Unsuitable("it imports what spectest does not have")
        self.imports = []
        self.sections.pop(_IMPORTS, None)

    def _is_used_in_constants(self, entry: Import) -> bool:
        """Whether ``global.get`` of it stands where only an import's may (3.3.10)."""
        index = [one for one in self.imports if one.kind == GLOBAL].index(entry)
        get = b"\x23" + unsigned(index)
        return any(get in self.sections.get(section, b"") for section in (_GLOBALS, _ELEMENTS, _DATA))

    def _define_function(self, entry: Import, body: bytes) -> None:
        self._add(self._before, _FUNCTIONS, unsigned(entry.type))
        self._add(self._before, _CODE, unsigned(len(body)) + body)

    @staticmethod
    def _add(where: dict[int, list[bytes]], section: int, entry: bytes) -> None:
        where.setdefault(section, []).append(entry)

    def encode(self) -> bytes:
        """The binary with all that was added."""
        out = bytearray(b"\0asm\1\0\0\0")
        for section in _ORDER:
            contents = self.sections.get(section)
            if section not in _WHOLE:
                before, behind = self._before.get(section, []), self._behind.get(section, [])
                if contents is None and not before and not behind:
                    continue
                reader = Reader(contents or b"\0")
                count = reader.number() + len(before) + len(behind)
                contents = unsigned(count) + b"".join(before) + reader.data[reader.at :] + b"".join(behind)
            if contents is not None:
                out += bytes([section]) + unsigned(len(contents)) + contents
        return bytes(out)
