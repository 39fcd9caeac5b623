from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import cbor_items, results
from waspi.errors import EnvelopeError, Fault
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.protocol import cbor
from waspi.protocol.chunk import Chunk, split
from waspi.protocol.reply import decode_reply
from waspi.protocol.result_envelope import decode_result, encode_result, result_from

USAGE = {"fuel": 0, "memory_bytes": 0, "run_us": 0, "queue_us": 0}
GOOD: dict[object, object] = {
    "v": 1, "id": "j", "device": "pi", "state": "SUCCEEDED", "output": b"x", "usage": USAGE, "attempt": 1,
}  # fmt: skip
FAILED: dict[object, object] = {
    "v": 1, "id": "j", "device": "pi", "state": "FAILED", "error": {"fault": "guest", "kind": "trap", "message": "m"},
    "usage": USAGE, "attempt": 1,
}  # fmt: skip


@given(results())
def test_round_trip(result: Result) -> None:
    encoded = encode_result(result)
    assert decode_result(encoded) == result
    assert decode_reply(encoded) == result
    assert cbor.encode(cbor.decode(encoded, max_bytes=1 << 20)) == encoded  # deterministic


def test_texts_of_an_error_are_made_fit_to_travel() -> None:
    error = JobError(Fault.GUEST, "trap", "x" * 5000, function="\ud800" * 2000)
    sent = decode_result(encode_result(Result("j", "pi", JobState.FAILED, error=error))).error
    assert sent == JobError(Fault.GUEST, "trap", "x" * 1024, function="?" * 1024)


@pytest.mark.parametrize(
    ("base", "key", "value", "says"),
    [
        (GOOD, "state", "QUEUED", "'state'"),
        (GOOD, "state", "succeeded", "'state'"),
        (GOOD, "state", "FAILED", "without an 'error'"),
        (FAILED, "state", "SUCCEEDED", "with an 'error'"),
        (GOOD, "output", "x", "'output'"),
        (GOOD, "outputs", [b"x"], "both"),
        (GOOD, "usage", {}, "'usage.fuel'"),
        (GOOD, "usage", {**USAGE, "module": "hot"}, "'usage.module'"),
        (GOOD, "usage", {**USAGE, "fuel": -1}, "'usage.fuel'"),
        (GOOD, "attempt", -1, "'attempt'"),
        (GOOD, "device", "#", "'device'"),
        (GOOD, "colour", 1, "unknown key 'colour'"),
        (GOOD, "log", "text", "'log'"),
        (FAILED, "error", {"fault": "moon", "kind": "trap", "message": "m"}, "'error.fault'"),
        (FAILED, "error", {"fault": "guest", "kind": "TRAP", "message": "m"}, "'kind'"),
        (FAILED, "error", {"fault": "guest", "kind": "trap", "message": "m" * 1025}, "'error.message'"),
        (FAILED, "error", {"fault": "guest", "kind": "trap", "message": "m", "offset": -1}, "'error.offset'"),
    ],
)
def test_wrong_fields_are_named(base: dict[object, object], key: str, value: object, says: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        decode_result(cbor.encode({**base, key: value}))
    assert says in caught.value.message


def test_success_needs_an_output() -> None:
    with pytest.raises(EnvelopeError, match="without 'output'"):
        result_from({key: value for key, value in GOOD.items() if key != "output"})


@given(st.sampled_from([*GOOD, "error", "outputs", "log", "module"]), cbor_items)
def test_any_item_in_any_field(key: str, item: object) -> None:
    for base in (GOOD, FAILED):
        try:
            result_from({**base, key: item})
        except EnvelopeError:
            continue


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for decode in (decode_result, decode_reply):
        with pytest.raises(EnvelopeError):
            decode(data)


def test_a_reply_may_be_a_chunk() -> None:
    parts = [decode_reply(part) for part in split(b"x" * 100, job="j", device="pi", chunk_bytes=40)]
    assert [type(part) for part in parts] == [Chunk] * 3
