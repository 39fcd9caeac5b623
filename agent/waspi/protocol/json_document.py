"""The JSON documents of the protocol (presence, reported state): retained, and read by dashboards as they are.

Keys that a reader does not know are passed over: they tell a state, not what to do, and a fleet is rarely of one
version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NoReturn

from waspi.errors import EnvelopeError
from waspi.protocol import field
from waspi.protocol.field import Fields
from waspi.protocol.ids import shown

CONTENT_TYPE: Final = "application/json"
"""MQTT Content Type."""


def encode_document(document: Mapping[str, object]) -> bytes:
    """UTF-8 JSON in one line, keys in the order given, no spaces."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def decode_document(data: bytes, what: str, *, max_bytes: int) -> Fields:
    """Decode a JSON object; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    if len(data) > max_bytes:
        raise EnvelopeError(f"{what} of {len(data)} bytes: {max_bytes} are allowed")
    try:
        value: object = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise EnvelopeError(f"{what} is no JSON: {str(error)[:160]}") from error
    if type(value) is not dict:
        raise EnvelopeError(f"{what}: a JSON object is expected")
    return value


def text_field(fields: Fields, key: str, what: str, *, shortest: int = 0, longest: int = 256) -> str:
    """The text under ``key``, which must be there."""
    return field.text(fields.get(key), f"{what}: {key!r}", shortest=shortest, longest=longest)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{shown(name)} is no JSON number")
