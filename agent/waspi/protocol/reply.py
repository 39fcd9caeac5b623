"""What comes to a topic that results go to: a whole result, or a chunk of one."""

from __future__ import annotations

from waspi.model.result import Result
from waspi.protocol import cbor
from waspi.protocol.chunk import Chunk, chunk_from
from waspi.protocol.result_envelope import MAX_BYTES, result_from


def decode_reply(data: bytes, *, max_bytes: int = MAX_BYTES) -> Result | Chunk:
    """Decode a message of a result topic whose Content Type is ``application/cbor``.

    A message of another Content Type is a plain answer (:mod:`waspi.protocol.plain_answer`). Raises
    :class:`EnvelopeError`, and nothing else, for whatever bytes.
    """
    value = cbor.decode(data, max_bytes=max_bytes)
    if type(value) is dict and "index" in value:
        return chunk_from(value)
    return result_from(value)
