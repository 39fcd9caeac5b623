"""Results that are larger than a packet: chunks of the result envelope, and the way back.

A chunk is ``{v: 1, id, device, index, count, size, sha256, data}``: part ``index`` (from 0) of ``count`` of a result
envelope of ``size`` bytes with that SHA-256 (32 bytes). All parts are ``ceil(size / count)`` bytes long but for the
last, which is the rest. Chunks go, in order, to the very topic that the result would have gone to (Response Topic or
default), with its Correlation Data: so they need no topic, subscription or ACL of their own.
:func:`waspi.protocol.reply.decode_reply` tells them from whole results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol import cbor, field

MAX_CHUNKS: Final = 65_536
MAX_RESULT_BYTES: Final = 256 * 1024 * 1024
"""Longest result envelope that may come in chunks."""
OVERHEAD: Final = 256
"""Bytes of a chunk that are not its data, at most: two ids of 63, a digest, keys, heads."""

_KEYS: Final = frozenset(("v", "id", "device", "index", "count", "size", "sha256", "data"))
_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of a result envelope."""

    id: str
    """Job id."""
    device: str
    index: int
    count: int
    size: int
    """Bytes of the whole envelope."""
    sha256: bytes
    """SHA-256 of the whole envelope, 32 bytes."""
    data: bytes


def split(envelope: bytes, *, job: str, device: str, chunk_bytes: int) -> Iterator[bytes]:
    """Encoded chunks of ``envelope``, in order, each with up to ``chunk_bytes`` bytes of data and OVERHEAD around it.

    Raises :class:`EnvelopeError` when more than MAX_CHUNKS would be needed.
    """
    size = len(envelope)
    count = -(-size // chunk_bytes) if chunk_bytes > 0 else 0
    if not 0 < count <= MAX_CHUNKS:
        raise EnvelopeError(f"a result of {size} bytes does not fit into {MAX_CHUNKS} chunks of {chunk_bytes} bytes")
    part = -(-size // count)
    digest = hashlib.sha256(envelope).digest()
    for index in range(count):
        # Keys in deterministic order, see cbor.encode_sorted.
        yield cbor.encode_sorted(
            {
                "v": field.VERSION,
                "id": job,
                "data": envelope[index * part : (index + 1) * part],
                "size": size,
                "count": count,
                "index": index,
                "device": device,
                "sha256": digest,
            }
        )


def decode_chunk(data: bytes, *, max_bytes: int = MAX_RESULT_BYTES) -> Chunk:
    """Decode a chunk; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    return chunk_from(cbor.decode(data, max_bytes=max_bytes))


def chunk_from(value: object) -> Chunk:
    """Read a chunk from a decoded data item; raises :class:`EnvelopeError` that names the wrong field."""
    fields = field.envelope(value, "chunk", _KEYS)
    get = fields.get
    size = field.integer(get("size"), "chunk: 'size'", least=1, most=MAX_RESULT_BYTES)
    count = field.integer(get("count"), "chunk: 'count'", least=1, most=min(MAX_CHUNKS, size))
    index = field.integer(get("index"), "chunk: 'index'", most=count - 1)
    digest = field.octets(get("sha256"), "chunk: 'sha256'")
    if len(digest) != _SHA256_BYTES:
        raise EnvelopeError(f"chunk: 'sha256' has {len(digest)} bytes instead of {_SHA256_BYTES}")
    data = field.octets(get("data"), "chunk: 'data'")
    part = -(-size // count)
    expected = part if index < count - 1 else size - part * (count - 1)
    if len(data) != expected:
        raise EnvelopeError(f"chunk: part {index} of {count} has {len(data)} bytes instead of {expected}")
    return Chunk(
        id=field.identifier(fields, "id", "chunk"),
        device=field.identifier(fields, "device", "chunk"),
        index=index,
        count=count,
        size=size,
        sha256=digest,
        data=data,
    )


class Assembler:
    """Puts chunks together again, in whatever order and however often they come; bounded in bytes.

    Holds no more than ``max_bytes`` of data, of all unfinished results together: the one that began first is given up
    for the others.
    """

    __slots__ = ("_held", "_max_bytes", "_open")

    def __init__(self, max_bytes: int = MAX_RESULT_BYTES) -> None:
        self._max_bytes: Final = max_bytes
        self._open: dict[tuple[str, str, bytes, int], dict[int, bytes]] = {}
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of data that wait for their missing neighbours."""
        return self._held

    def add(self, chunk: Chunk) -> bytes | None:
        """Take a chunk in; returns the whole envelope when it was the last one missing, else ``None``.

        Raises :class:`EnvelopeError` when the result is larger than ``max_bytes``, when a part came before with other
        bytes, or when the whole has another SHA-256 than its chunks say; what was held of it is then forgotten.
        """
        if chunk.size > self._max_bytes:
            raise EnvelopeError(f"result of {chunk.id} has {chunk.size} bytes: {self._max_bytes} are taken here")
        key = (chunk.device, chunk.id, chunk.sha256, chunk.count)
        parts = self._open.setdefault(key, {})
        before = parts.get(chunk.index)
        if before is not None:
            if before != chunk.data:
                self._forget(key)
                raise EnvelopeError(f"chunk {chunk.index} of the result of {chunk.id} came twice with other bytes")
            return None
        parts[chunk.index] = chunk.data
        self._held += len(chunk.data)
        if len(parts) == chunk.count:
            self._forget(key)
            whole = b"".join(parts[index] for index in range(chunk.count))
            if hashlib.sha256(whole).digest() != chunk.sha256:
                raise EnvelopeError(f"result of {chunk.id}: its chunks do not give the SHA-256 that they name")
            return whole
        while self._held > self._max_bytes:
            self._forget(next(iter(self._open)))
        return None

    def _forget(self, key: tuple[str, str, bytes, int]) -> None:
        self._held -= sum(map(len, self._open.pop(key).values()))
