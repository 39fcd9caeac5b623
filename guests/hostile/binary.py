"""As much of the WebAssembly binary format (core specification, chapter 5) as the generators need."""

from __future__ import annotations

MAGIC = b"\0asm\x01\0\0\0"
I32, I64 = b"\x7f", b"\x7e"
TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, ELEMENT, CODE, DATA = 1, 2, 3, 4, 5, 6, 7, 9, 10, 11
GET, SET, CONST, ADD, DROP, END = b"\x20", b"\x21", b"\x41", b"\x6a", b"\x1a", b"\x0b"


def leb(value: int) -> bytes:
    """Unsigned LEB128 (5.2.2)."""
    out = bytearray()
    while value >> 7:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def vector(items: list[bytes]) -> bytes:
    """A count and the items (5.1.3)."""
    return leb(len(items)) + b"".join(items)


def name(text: str) -> bytes:
    """A name: UTF-8 with its length (5.2.4)."""
    return leb(len(text.encode())) + text.encode()


def section(number: int, content: bytes) -> bytes:
    """A section with its length (5.5.2)."""
    return bytes([number]) + leb(len(content)) + content


def function_type(params: list[bytes], results: list[bytes]) -> bytes:
    """A function's type (5.3.6)."""
    return b"\x60" + vector(params) + vector(results)


def code(body: bytes, runs: list[tuple[int, bytes]] | None = None) -> bytes:
    """A function's locals, in runs of equal type, and its instructions without the closing ``end`` (5.5.13)."""
    locals_ = vector([leb(count) + kind for count, kind in runs or []])
    return leb(len(locals_) + len(body) + 1) + locals_ + body + END


def module(sections: dict[int, bytes]) -> bytes:
    """A module of these sections, in the order that the format asks for."""
    return MAGIC + b"".join(section(number, sections[number]) for number in sorted(sections))


def guest(
    *,
    bodies: list[bytes] | None = None,
    types: list[bytes] | None = None,
    type_of_bodies: int = 2,
    append: bytes = GET + b"\x01",
    runs: list[tuple[int, bytes]] | None = None,
    imports: list[bytes] | None = None,
    exports: list[bytes] | None = None,
    more: dict[int, bytes] | None = None,
) -> bytes:
    """A guest that keeps to the ABI; what makes it a bomb comes on top.

    Types 0 to 2 are those of ``alloc``, ``append`` and ``() -> ()``; function 0 (behind the imports, which must be
    functions) is ``alloc``, 1 is ``append`` with the body ``append`` and the locals ``runs``, the ``bodies`` follow.
    """
    bodies, first = bodies or [], len(imports or [])
    sections = {
        TYPE: vector(
            [
                function_type([I32], [I32]),
                function_type([I32, I32], [I32]),
                function_type([], []),
                *(types or []),
            ]
        ),
        FUNCTION: vector([b"\0", b"\1", *[leb(type_of_bodies)] * len(bodies)]),
        MEMORY: vector([b"\0\x01"]),
        EXPORT: vector(
            [
                name("memory") + b"\x02\0",
                name("alloc") + b"\0" + leb(first),
                name("append") + b"\0" + leb(first + 1),
                *(exports or []),
            ]
        ),
        CODE: vector([code(CONST + b"\x80\x08"), code(append, runs), *bodies]),
    }
    if imports:
        sections[IMPORT] = vector(imports)
    return module(sections | (more or {}))
