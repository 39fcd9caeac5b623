from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import counts, ids
from waspi.errors import EnvelopeError
from waspi.model.state import JobState
from waspi.protocol import cbor
from waspi.protocol.cancel import MAX_REASON, decode_cancel, encode_cancel
from waspi.protocol.status import StatusChange, decode_status, encode_status

statuses = st.builds(
    StatusChange, ids, ids, st.sampled_from(list(JobState)), counts, st.integers(0, 253_402_300_799_000)
)


@given(statuses)
def test_status_round_trip(status: StatusChange) -> None:
    encoded = encode_status(status)
    assert decode_status(encoded) == status
    assert cbor.encode(cbor.decode(encoded, max_bytes=1024)) == encoded  # deterministic


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_REASON))
def test_cancel_round_trip(reason: str) -> None:
    assert decode_cancel(encode_cancel(reason)) == reason


def test_an_empty_message_cancels() -> None:
    assert encode_cancel() == b""
    assert decode_cancel(b"") == ""
    assert decode_cancel(cbor.encode({"v": 1})) == ""


@pytest.mark.parametrize("item", [{}, {"v": 2}, {"v": 1, "reason": 1}, {"v": 1, "reason": "x" * 201}, {"v": 1, "x": 1}])
def test_wrong_cancels_are_refused(item: object) -> None:
    with pytest.raises(EnvelopeError):
        decode_cancel(cbor.encode(item))


@given(st.binary(min_size=1, max_size=100))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for decode in (decode_status, decode_cancel):
        try:
            decode(data)
        except EnvelopeError:
            continue
