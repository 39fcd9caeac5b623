"""The plain way: a request on ``run/<module>`` is the raw input, its answer the raw output. No CBOR anywhere.

An answer always bears the MQTT user properties ``job`` (the id that the device gave the request) and ``state``
(``SUCCEEDED``, ``FAILED``, ``TIMED_OUT``, ...). When the state is SUCCEEDED the payload is the output, whatever bytes
those are, and the Content Type is ``application/octet-stream``. In any other case there is no output: the user
properties ``error-fault``, ``error-kind`` and ``error`` (the message) say why, and the payload says the same as JSON,
``{"state", "error": {"fault", "kind", "message"}}`` with Content Type ``application/json``, for integrations that
cannot see properties (Home Assistant): a visible reason is better than an empty message, which might as well be an
empty output.

Who must be sure looks at ``state``, never at the payload.
"""

from __future__ import annotations

from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.model.value import value
from waspi.protocol import json_document

CONTENT_TYPE: Final = "application/octet-stream"
"""MQTT Content Type of a raw output."""
MAX_PROPERTY: Final = 512
"""Bytes of a user property's value."""


@value
class PlainAnswer:
    """What is published in answer to a plain request."""

    payload: bytes
    content_type: str
    user_properties: tuple[tuple[str, str], ...]


def plain_answer(result: Result) -> PlainAnswer:
    """The plain form of a result of one output; its log and usage are left out.

    Raises :class:`EnvelopeError` for a result that succeeded without an output.
    """
    properties = (("job", result.id), ("state", result.state.value))
    if result.state is JobState.SUCCEEDED:
        if len(result.outputs) != 1:
            raise EnvelopeError(f"the result of {result.id} has {len(result.outputs)} outputs: a plain answer has one")
        return PlainAnswer(result.outputs[0], CONTENT_TYPE, properties)
    if result.error is None:
        document: dict[str, object] = {"state": result.state.value}
        return PlainAnswer(json_document.encode_document(document), json_document.CONTENT_TYPE, properties)
    error = result.error
    reason = {"fault": error.fault.value, "kind": error.kind, "message": error.message}
    told = (("error-fault", error.fault.value), ("error-kind", error.kind), ("error", _property(error.message)))
    return PlainAnswer(
        json_document.encode_document({"state": result.state.value, "error": reason}),
        json_document.CONTENT_TYPE,
        properties + told,
    )


def _property(text: str) -> str:
    """``text`` as an MQTT string may be (MQTT 5.0, 1.5.4): UTF-8 without NUL and control characters, bounded."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in text[:MAX_PROPERTY])
    return plain.encode()[:MAX_PROPERTY].decode("utf-8", "ignore")
