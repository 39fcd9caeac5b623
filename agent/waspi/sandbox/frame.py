"""What travels between the agent and its children: frames over a stream socket, packed with ``struct``.

A frame is a header of 12 bytes (magic, kind, sequence number, length of the body) and a body. Both sides import this
module, and a worker pays for every import with start time, so there is no CBOR here and no dataclass; all numbers are
little-endian. What a child sends is parsed by ``waspi.sandbox.messages``, which trusts none of it.
"""

from __future__ import annotations

from struct import Struct

MAGIC = 0x5750
HEADER = Struct("<HBxII")
"""magic, kind, sequence number of the request, bytes of the body."""

# Kinds; below 16 from the parent, the others from the child.
RUN = 1
COMPILE = 2
CANCEL = 3
"""On the control socket: stop the request of this number, or do not begin it."""
HELLO = 16
ANSWER = 17
FAILURE = 18
ARTIFACT = 19

RUN_HEAD = Struct("<32s32sB5H3IQ5q")
"""digest, digest to unload (zeros: none), flags, lengths of the three names of the ABI, of the script's key and of the
environment, headroom, number of inputs, bytes of the script, bound of all outputs together, then fuel, memory, time,
output and log with ``NO_LIMIT`` for none. The names, the key, the environment, the script, the lengths of the inputs
(``SIZE`` each) and the inputs follow.

A script's key is its digest (32 bytes) and the head of the engine's block (``waspi.model.abi.script_head``); there is
none for a module that is Wasm. The script itself comes along when the worker does not have it under that key."""
FLAG_LOAD = 1
"""The module's artifact comes as a descriptor with this frame."""
FLAG_TRACE = 2
SCRIPT_DIGEST = 32
"""Bytes of the digest that a script's key begins with."""
FLAG_FORGET = 4
"""Let all scripts go first."""
FLAG_SCRIPT = 8
"""The script comes with this frame."""
NO_LIMIT = -1
NO_DIGEST = bytes(32)

ANSWER_HEAD = Struct("<3q2I")
"""fuel, peak memory in bytes, microseconds, bytes of log, number of outputs. The lengths of the outputs (``SIZE``
each), the log and the outputs follow."""

FAILURE_HEAD = Struct("<4q3HxxI")
"""fuel, peak memory in bytes, microseconds, offset (-1: unknown), lengths of kind, function and message, bytes of log.
Kind, function, message and log follow."""

ARTIFACT_HEAD = Struct("<32s")
"""SHA-256 of the Wasm that was compiled. The artifact follows."""

SIZE = Struct("<I")

MAX_KIND = 64
MAX_FUNCTION = 256
MAX_MESSAGE = 1024
MAX_TABLE = 16 * 1024
"""Bytes of a HELLO's body."""
TRACE_BYTES = 64 * 1024
"""Bytes that trace lines may add to a log."""


def pack(kind: int, seq: int, body: bytes) -> bytes:
    """One whole frame."""
    return HEADER.pack(MAGIC, kind, seq, len(body)) + body


def pack_table(table: dict[str, str]) -> bytes:
    """A small table of text: ``key NUL value NUL ...``, UTF-8. Keys and values hold no NUL."""
    return b"".join(text.replace("\0", " ").encode() + b"\0" for pair in table.items() for text in pair)


def unpack_table(body: bytes) -> dict[str, str]:
    """The reverse of :func:`pack_table`. Raises ``ValueError`` on anything else, or above ``MAX_TABLE`` bytes."""
    if len(body) > MAX_TABLE or (body and body[-1:] != b"\0"):
        raise ValueError("not a table")
    texts = body.decode().split("\0")[:-1]
    if len(texts) % 2:
        raise ValueError("a key without a value")
    return dict(zip(texts[::2], texts[1::2], strict=True))
