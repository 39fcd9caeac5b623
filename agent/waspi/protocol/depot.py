"""Between a device's updater and a depot: ranges of files of the update repository, and the news of a new timestamp.

A request: ``{v: 1, token, path, offset, length, accept?}``, on ``…/device/<device>/depot/get/<depot>`` to one depot, or
on ``…/device/<device>/depot/get`` to whoever is there. Who asks stands in the topic, where an access list sees it. The
answer goes to ``…/device/<device>/chunk/<token>``, a topic that the depot builds itself, so that it cannot be made to
write anywhere else: ``{v: 1, depot, token, path, offset, total, data, coding?}``, or ``{v: 1, depot, token, path,
offset, error: {kind, message, retry_ms?}}``. One request, one answer of each depot that it reaches. A device keeps a
window of requests on their way; for what does not come it asks again, and then another depot. Answers say nothing about
trust: TUF's metadata does.

``data`` is the range itself, or with ``coding: "zlib"`` (RFC 1950) its compressed form, which a depot may send when the
request's ``accept`` names it. ``total`` is the length of the whole file, in bytes.

The announcement, retained JSON on ``…/depot/<depot>/timestamp``: ``{"version", "sha256"}`` of ``timestamp.json``. It
says that the depot is there and is a hint to look, nothing more. The depot's will replaces it by an empty message.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol import cbor, field, json_document
from waspi.protocol.ids import is_digest, shown
from waspi.protocol.repository_path import MAX_PATH, is_repository_path

MAX_RANGE: Final = 64 * 1024
"""Bytes of one range."""
MAX_FILE: Final = 64 * 1024 * 1024
"""Bytes of the longest file of a repository."""
MAX_REQUEST_BYTES: Final = 1024
MAX_CHUNK_BYTES: Final = MAX_RANGE + 1024
MAX_NOTICE_BYTES: Final = 1024
ZLIB: Final = "zlib"

_MAX_ITEMS: Final = 32
_MAX_RETRY_MS: Final = 3_600_000
_REQUEST_KEYS: Final = frozenset(("v", "token", "path", "offset", "length", "accept"))
_CHUNK_KEYS: Final = frozenset(("v", "depot", "token", "path", "offset", "total", "data", "coding", "error"))
_ERROR_KEYS: Final = frozenset(("kind", "message", "retry_ms"))


class RefusalKind(StrEnum):
    """Why a depot does not send a range."""

    NOT_FOUND = "not-found"
    """There is no such file; TUF asks for roots that do not exist yet (TUF 1.0.33, 5.3)."""
    BAD_RANGE = "bad-range"
    """The range begins at or beyond the end of the file."""
    BUSY = "busy"
    """Too much is asked for at once; ask again after ``retry_ms``."""
    UNREADABLE = "unreadable"
    """The depot cannot read its own files."""


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A device asks for a range of a file."""

    token: str
    """An id that the device makes for one run of its updater: late answers to an earlier one are told by it."""
    path: str
    """Of a file of the repository (:mod:`waspi.protocol.repository_path`)."""
    offset: int
    length: int
    """1 to MAX_RANGE bytes; the answer is shorter at the end of the file."""
    accept: tuple[str, ...] = ()
    """Codings besides none; unknown ones are passed over."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A depot's answer without data."""

    kind: RefusalKind
    message: str
    retry_ms: int = 0


@dataclass(frozen=True, slots=True)
class RangeChunk:
    """A depot's answer."""

    depot: str
    """Its id."""
    token: str
    path: str
    offset: int
    total: int = 0
    """Bytes of the whole file; 0 with an ``error``."""
    data: bytes = b""
    """The range as it is in the file; empty with an ``error``."""
    error: Refusal | None = None


@dataclass(frozen=True, slots=True)
class TimestampNotice:
    """There is something new in the repository."""

    version: int
    """Of the timestamp."""
    sha256: str
    """Of the bytes of ``timestamp.json``."""


def encode_range_request(request: RangeRequest) -> bytes:
    """Encode deterministically."""
    fields: dict[str, object] = {
        "v": field.VERSION,
        "token": request.token,
        "path": request.path,
        "offset": request.offset,
        "length": request.length,
    }
    if request.accept:
        fields["accept"] = list(request.accept)
    return cbor.encode(fields)


def decode_range_request(data: bytes) -> RangeRequest:
    """Decode; raises :class:`EnvelopeError`, and nothing else, for whatever bytes: bad paths and ranges among them."""
    what = "range request"
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_REQUEST_BYTES, max_items=_MAX_ITEMS), what, _REQUEST_KEYS)
    accept = field.items(fields["accept"], f"{what}: 'accept'", most=8) if "accept" in fields else []
    return RangeRequest(
        token=field.identifier(fields, "token", what),
        path=_path(fields.get("path"), what),
        offset=field.integer(fields.get("offset"), f"{what}: 'offset'", most=MAX_FILE),
        length=field.integer(fields.get("length"), f"{what}: 'length'", least=1, most=MAX_RANGE),
        accept=tuple(field.text(coding, f"{what}: 'accept'", longest=32) for coding in accept),
    )


def encode_range_chunk(chunk: RangeChunk, *, compressed: bytes | None = None) -> bytes:
    """Encode an answer; ``compressed``, from :func:`compress`, goes in place of its data."""
    fields: dict[str, object] = {
        "v": field.VERSION,
        "depot": chunk.depot,
        "token": chunk.token,
        "path": chunk.path,
        "offset": chunk.offset,
    }
    if chunk.error is not None:
        error: dict[str, object] = {"kind": chunk.error.kind.value, "message": chunk.error.message[: field.MAX_TEXT]}
        if chunk.error.retry_ms:
            error["retry_ms"] = chunk.error.retry_ms
        return cbor.encode({**fields, "error": error})
    fields["total"] = chunk.total
    fields["data"] = chunk.data if compressed is None else compressed
    if compressed is not None:
        fields["coding"] = ZLIB
    return cbor.encode(fields)


def decode_range_chunk(data: bytes) -> RangeChunk:
    """Decode an answer, its data plain again; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    what = "depot's answer"
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_CHUNK_BYTES, max_items=_MAX_ITEMS), what, _CHUNK_KEYS)
    depot, token = field.identifier(fields, "depot", what), field.identifier(fields, "token", what)
    path = _path(fields.get("path"), what)
    offset = field.integer(fields.get("offset"), f"{what}: 'offset'", most=MAX_FILE)
    if "error" in fields:
        return RangeChunk(depot, token, path, offset, error=_refusal(fields["error"], what))
    total = field.integer(fields.get("total"), f"{what}: 'total'", least=1, most=MAX_FILE)
    octets = field.octets(fields.get("data"), f"{what}: 'data'")
    if "coding" in fields:
        field.member(fields["coding"], f"{what}: 'coding'", (ZLIB,))
        octets = _decompress(octets, what)
    if not octets or len(octets) > MAX_RANGE or offset + len(octets) > total:
        raise EnvelopeError(f"{what}: {len(octets)} bytes at {offset} of {total} are no range")
    return RangeChunk(depot, token, path, offset, total, octets)


def compress(data: bytes) -> bytes | None:
    """``data`` for an answer with the coding ``zlib``, or ``None`` where that saves less than a sixteenth."""
    packed = zlib.compress(data)
    return packed if len(packed) < len(data) - len(data) // 16 else None


def encode_timestamp_notice(notice: TimestampNotice) -> bytes:
    """Encode as JSON."""
    return json_document.encode_document({"version": notice.version, "sha256": notice.sha256})


def decode_timestamp_notice(data: bytes) -> TimestampNotice:
    """Decode; unknown keys are passed over. Raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = json_document.decode_document(data, "timestamp notice", max_bytes=MAX_NOTICE_BYTES)
    digest = json_document.text_field(fields, "sha256", "timestamp notice")
    if not is_digest(digest):
        raise EnvelopeError(f"timestamp notice: {shown(digest)} is no SHA-256")
    return TimestampNotice(field.integer(fields.get("version"), "timestamp notice: 'version'", least=1), digest)


def _path(value: object, what: str) -> str:
    path = field.text(value, f"{what}: 'path'", longest=MAX_PATH)
    if not is_repository_path(path):
        raise EnvelopeError(f"{what}: {shown(path)} is no path of an update repository")
    return path


def _refusal(value: object, what: str) -> Refusal:
    fields = field.closed(value, f"{what}: 'error'", _ERROR_KEYS)
    kind = field.member(fields.get("kind"), f"{what}: 'error.kind'", (kind.value for kind in RefusalKind))
    return Refusal(
        kind=RefusalKind(kind),
        message=field.text(fields.get("message"), f"{what}: 'error.message'"),
        retry_ms=(
            field.integer(fields["retry_ms"], f"{what}: 'error.retry_ms'", most=_MAX_RETRY_MS)
            if "retry_ms" in fields
            else 0
        ),
    )


def _decompress(data: bytes, what: str) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        # One byte more than a range may have: a bomb is seen, and costs no memory.
        octets = unpacker.decompress(data, MAX_RANGE + 1)
    except zlib.error as error:
        raise EnvelopeError(f"{what}: 'data' is no zlib stream: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise EnvelopeError(f"{what}: 'data' is no whole zlib stream of up to {MAX_RANGE} bytes")
    return octets
