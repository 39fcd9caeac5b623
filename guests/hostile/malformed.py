"""Bytes that are no module, or one that no text can say; each function is one case of ``expected.toml``."""

from __future__ import annotations

from binary import (
    CODE,
    EXPORT,
    FUNCTION,
    GET,
    MAGIC,
    TYPE,
    code,
    function_type,
    guest,
    leb,
    module,
    name,
    section,
    vector,
)

WHOLE = guest()


def empty() -> bytes:
    """No byte at all."""
    return b""


def not_wasm() -> bytes:
    """Text."""
    return b"The input string\n"


def elf_binary() -> bytes:
    """The beginning of a native program: what somebody sends who forgot the target."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0\x01\0\0\0" + bytes(40)


def only_magic() -> bytes:
    """Cut behind the magic number."""
    return MAGIC[:4]


def no_sections() -> bytes:
    """A valid module with nothing in it."""
    return MAGIC


def wrong_version() -> bytes:
    """Version 2, which there is not."""
    return b"\0asm\x02\0\0\0" + WHOLE[8:]


def component() -> bytes:
    """A component (layer 1), not a core module."""
    return b"\0asm\x0d\0\x01\0"


def truncated_in_code() -> bytes:
    """Two bytes are missing at the end."""
    return WHOLE[:-2]


def truncated_in_section_header() -> bytes:
    """Cut behind the number of a section."""
    return WHOLE[:9]


def section_longer_than_file() -> bytes:
    """A type section that claims 4 GiB."""
    return MAGIC + bytes([TYPE]) + leb(0xFFFF_FFFF) + b"\x01"


def overlong_leb128() -> bytes:
    """A length in eleven bytes; 32 bits have five."""
    return MAGIC + bytes([TYPE]) + b"\x80" * 10 + b"\0"


def sections_out_of_order() -> bytes:
    """The function section before the types."""
    types = section(TYPE, vector([function_type([], [])]))
    return MAGIC + section(FUNCTION, b"\x01\0") + types + section(CODE, vector([code(b"")]))


def name_not_utf8() -> bytes:
    """An export whose name is no UTF-8."""
    return module(
        {
            TYPE: vector([function_type([], [])]),
            FUNCTION: b"\x01\0",
            EXPORT: b"\x01\x02\xff\xfe\0\0",
            CODE: vector([code(b"")]),
        }
    )


def type_mismatch() -> bytes:
    """The entry leaves nothing on the stack where its type promises an i32."""
    return guest(append=b"")


def duplicate_export() -> bytes:
    """Two exports called alloc."""
    return guest(exports=[name("alloc") + b"\0\x01"])


def trailing_bytes() -> bytes:
    """Bytes behind the last section that are no section."""
    return WHOLE + b"\xff\xff\xff"


def import_long_name() -> bytes:
    """An unknown import whose name has 90,000 letters; the message must stay short."""
    return guest(imports=[name("env") + name("a" * 90_000) + b"\0\x02"])


def function_name_control_characters() -> bytes:
    """Traps in a function whose name, from the name section, holds terminal escapes and line breaks."""
    bad = "\x1b[2J\x1b[31mall is well\n\r\0"
    names = section(0, name("name") + section(1, vector([leb(2) + name(bad)])))
    return guest(bodies=[code(b"\0")], append=b"\x10\x02" + GET + b"\x01") + names
