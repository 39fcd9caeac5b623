"""Reading the fields of a decoded envelope: each wrong one is an :class:`EnvelopeError` that names it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol.ids import is_id, shown

VERSION: Final = 1
"""The ``v`` of every CBOR envelope of this protocol."""
MAX_INTEGER: Final = 2**63 - 1
"""Largest integer of any field: what SQLite and every language's signed 64 bits hold."""
MAX_TEXT: Final = 1024
"""Characters of a text that people read."""
MAX_TIME: Final = 253_402_300_799
"""Unix time of the end of the year 9999."""

Fields = dict[object, object]


def envelope(value: object, what: str, known: frozenset[str]) -> Fields:
    """``value`` as the fields of an envelope of version 1 that has no keys besides ``known``."""
    if type(value) is not dict:
        raise EnvelopeError(f"{what}: a map is expected, not {_kind(value)}")
    version = value.get("v")
    if type(version) is not int:
        raise EnvelopeError(f"{what}: 'v', the version of the protocol, is missing or no integer")
    if version != VERSION:
        raise EnvelopeError(f"{what}: version {shown(version)} is not spoken here; send version {VERSION}")
    return closed(value, what, known)


def closed(value: object, what: str, known: frozenset[str]) -> Fields:
    """``value``, a map that has no keys besides ``known``."""
    if type(value) is not dict:
        raise EnvelopeError(f"{what}: a map is expected, not {_kind(value)}")
    if not value.keys() <= known:
        stranger = next(key for key in value if key not in known)
        raise EnvelopeError(f"{what}: unknown key {shown(stranger)}; known are {', '.join(sorted(known))}")
    return value


def identifier(fields: Fields, key: str, what: str) -> str:
    """The id under ``key``, which must be there."""
    value = fields.get(key)
    if type(value) is not str or not is_id(value):
        raise EnvelopeError(f"{what}: {key!r} must be an id ([a-z0-9][a-z0-9-]{{0,62}}), not {shown(value)}")
    return value


def text(value: object, name: str, *, longest: int = MAX_TEXT, shortest: int = 0) -> str:
    """``value`` as text of ``shortest`` to ``longest`` characters."""
    if type(value) is not str:
        raise EnvelopeError(f"{name} must be text, not {_kind(value)}")
    if not shortest <= len(value) <= longest:
        raise EnvelopeError(f"{name} has {len(value)} characters: {shortest} to {longest} are allowed")
    return value


def octets(value: object, name: str) -> bytes:
    """``value`` as a byte string."""
    if type(value) is not bytes:
        raise EnvelopeError(f"{name} must be a byte string, not {_kind(value)}")
    return value


def integer(value: object, name: str, *, least: int = 0, most: int = MAX_INTEGER) -> int:
    """``value`` as an integer from ``least`` to ``most``; ``true`` and ``false`` are none."""
    if type(value) is not int:
        raise EnvelopeError(f"{name} must be an integer, not {_kind(value)}")
    if not least <= value <= most:
        raise EnvelopeError(f"{name} is {shown(value)}: {least} to {most} are allowed")
    return value


def boolean(value: object, name: str) -> bool:
    """``value`` as ``true`` or ``false``."""
    if type(value) is not bool:
        raise EnvelopeError(f"{name} must be true or false, not {_kind(value)}")
    return value


def moment(value: object, name: str) -> float:
    """``value`` as Unix time in seconds, after 1970 and before the year 10000."""
    if type(value) is not int and type(value) is not float:
        raise EnvelopeError(f"{name} must be Unix time in seconds, not {_kind(value)}")
    if not 0 < value <= MAX_TIME:
        raise EnvelopeError(f"{name} is {shown(value)}: Unix time in seconds is expected, up to {MAX_TIME}")
    return float(value)


def items(value: object, name: str, *, most: int) -> list[object]:
    """``value`` as an array of up to ``most`` items."""
    if type(value) is not list:
        raise EnvelopeError(f"{name} must be an array, not {_kind(value)}")
    if len(value) > most:
        raise EnvelopeError(f"{name} has {len(value)} items: {most} are allowed")
    return value


def member(value: object, name: str, allowed: Iterable[str]) -> str:
    """``value`` as one of the words ``allowed``."""
    choices = tuple(allowed)
    if type(value) is not str or value not in choices:
        raise EnvelopeError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}")
    return value


_KINDS: Final = {
    dict: "a map",
    list: "an array",
    str: "text",
    bytes: "a byte string",
    int: "an integer",
    float: "a float",
    bool: "a boolean",
    type(None): "null or missing",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")
