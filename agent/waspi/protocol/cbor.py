"""CBOR (RFC 8949) from the wire, which is hostile, and to the wire, which is deterministic (RFC 8949, 4.2.1).

What cbor2 6.3 can refuse by itself is nesting, indefinite lengths, duplicate keys and bad UTF-8. It cannot be told to
refuse trailing bytes, tags (some thirty have built-in decoders: bignums, fractions, regular expressions, ...),
``undefined``, other simple values, NaN, or a number of elements. So one pass over the item heads goes before it,
without recursion and without building anything: it sees every head exactly once, bounds their number, and ends exactly
at the last byte. It costs less than the decoding itself (1.5 us for a small job).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cbor2

from waspi.errors import EnvelopeError

MAX_DEPTH: Final = 4
"""Nested containers; the deepest envelope has 3."""
MAX_ITEMS: Final = 16_384
"""Data items of one message, containers and keys included."""


def decode(data: bytes, *, max_bytes: int, max_items: int = MAX_ITEMS, max_depth: int = MAX_DEPTH) -> object:
    """Decode one data item that fills ``data``.

    Comes back made of ``dict``, ``list``, ``str``, ``bytes``, ``int`` (-2**64..2**64-1), ``float`` (finite), ``bool``
    and ``None``. ``max_bytes`` bounds ``data``, ``max_items`` the number of data items in it, ``max_depth`` their
    nesting. Keys of maps may be of any hashable type: each envelope names those that it knows
    (:mod:`waspi.protocol.field`).

    Raises :class:`EnvelopeError`, and nothing else, for whatever bytes.
    """
    if len(data) > max_bytes:
        raise EnvelopeError(f"message of {len(data)} bytes: {max_bytes} are allowed")
    _scan(data, max_items)
    try:
        value: object = cbor2.loads(data, max_depth=max_depth, allow_indefinite=False, allow_duplicate_keys=False)
    except cbor2.CBORDecodeError as error:
        raise EnvelopeError(f"CBOR: {str(error)[:160]}") from error
    return value


def encode(value: object) -> bytes:
    """Encode deterministically: shortest heads and floats, keys of maps in the order of their encodings."""
    return cbor2.dumps(value, canonical=True)


def encode_sorted(value: Mapping[str, object]) -> bytes:
    """Encode maps whose keys already stand in deterministic order (shorter first, then by bytes) and hold no float.

    The same bytes as :func:`encode` at a fifth of its cost.
    """
    return cbor2.dumps(value)


def _tables() -> tuple[bytes, tuple[int, ...]]:
    """For each initial byte: bytes to go on by (0: look closer), and items that follow, less the one just seen."""
    step, more = bytearray(256), [-1] * 256
    for argument in range(24):
        step[0x00 + argument] = step[0x20 + argument] = 1  # integers
        step[0x40 + argument] = step[0x60 + argument] = 1 + argument  # strings
        step[0x80 + argument] = step[0xA0 + argument] = 1  # arrays and maps
        more[0x80 + argument] = argument - 1
        more[0xA0 + argument] = 2 * argument - 1
    for width in range(4):
        step[0x18 + width] = step[0x38 + width] = 1 + (1 << width)
    for simple in (0xF4, 0xF5, 0xF6):  # false, true, null
        step[simple] = 1
    return bytes(step), tuple(more)


_STEP, _MORE = _tables()
_TRUNCATED: Final = "CBOR: the message ends within an item"


def _scan(data: bytes, max_items: int) -> None:
    """Walk over all heads; raises :class:`EnvelopeError` for what the module's text names."""
    step, more, size = _STEP, _MORE, len(data)
    position, left = 0, 1
    try:
        for _ in range(max_items):
            head = data[position]
            advance = step[head]
            if advance:
                position += advance
                left += more[head]
            elif head in (0x58, 0x78):  # the most frequent of the others: a string below 256 bytes
                position += 2 + data[position + 1]
                left -= 1
            else:
                position, following = _long_head(data, position, head)
                left += following - 1
                if left > size:
                    raise EnvelopeError(_TRUNCATED)
            if not left:
                break
        else:
            raise EnvelopeError(f"CBOR: more than {max_items} items")
    except IndexError:
        raise EnvelopeError(_TRUNCATED if data else "CBOR: the message is empty") from None
    if position > size:
        raise EnvelopeError(_TRUNCATED)
    if position < size:
        raise EnvelopeError(f"CBOR: {size - position} bytes after the end of the item")


def _long_head(data: bytes, position: int, head: int) -> tuple[int, int]:
    """Position behind the item at ``position`` (or behind its head, if a container), and number of items in it."""
    major, argument = head >> 5, head & 0x1F
    if major == _OTHER:
        return _floating(data, position, head), 0
    if major == _TAG:
        raise EnvelopeError(f"CBOR: a tag at byte {position}; none is allowed here")
    if argument == _INDEFINITE:
        raise EnvelopeError(f"CBOR: indefinite length at byte {position}; state the length")
    if argument > _EIGHT_BYTES:
        raise EnvelopeError(f"CBOR: reserved head 0x{head:02x} at byte {position}")
    behind = position + 1 + (1 << (argument - _ONE_BYTE))
    length = int.from_bytes(data[position + 1 : behind])
    if major < _ARRAY:
        return behind + length, 0
    return behind, length if major == _ARRAY else 2 * length


# Major types and arguments of heads (RFC 8949, 3 and 3.1). Integers never come here; strings are below arrays.
_ARRAY: Final = 4
_TAG: Final = 6
_OTHER: Final = 7
_ONE_BYTE: Final = 24
_EIGHT_BYTES: Final = 27
_INDEFINITE: Final = 31
_FLOATS: Final = {0xF9: (2, 0x7C00), 0xFA: (4, 0x7F80_0000), 0xFB: (8, 0x7FF0_0000_0000_0000)}
"""Head: bytes, and the exponent's bits; all ones mean infinity or NaN (IEEE 754)."""


def _floating(data: bytes, position: int, head: int) -> int:
    if head not in _FLOATS:
        raise EnvelopeError(f"CBOR: simple value or break 0x{head:02x} at byte {position}; not allowed")
    width, exponent = _FLOATS[head]
    behind = position + 1 + width
    if int.from_bytes(data[position + 1 : behind]) & exponent == exponent:
        raise EnvelopeError(f"CBOR: NaN or infinity at byte {position}; not allowed")
    return behind
