from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import ids
from waspi.errors import EnvelopeError
from waspi.protocol import cbor
from waspi.protocol.state_call import (
    MAX_ONLY,
    PARTS,
    StateAnswer,
    StateCall,
    decode_state_answer,
    decode_state_call,
    encode_state_answer,
    encode_state_call,
)

parts = st.integers(0, PARTS - 1)
calls = st.builds(StateCall, st.integers(0, 600_000), parts, parts, st.lists(ids, max_size=4).map(tuple))
FLEET = [f"pi-{number}" for number in range(10_000)]
NONCE = bytes(16)


@given(calls)
def test_call_round_trip(call: StateCall) -> None:
    assert decode_state_call(encode_state_call(call)) == call


@given(st.builds(StateAnswer, ids, st.binary(), st.binary()))
def test_answer_round_trip(answer: StateAnswer) -> None:
    assert decode_state_answer(encode_state_answer(answer)) == answer


def test_to_the_byte() -> None:
    assert encode_state_call(StateCall(500, last=199, only=("pi-1",))).hex() == (
        "a5617601646c61737418c7646f6e6c79816470692d3165666972737400697370726561645f6d731901f4"
    )
    assert StateCall(1000).delay_s("pi-1", b"nonce") == pytest.approx(0.0, abs=1.0)


def test_answers_are_spread_evenly_and_anew_for_each_call() -> None:
    delays = [StateCall(6000).delay_s(device, NONCE) for device in FLEET]
    seconds = Counter(int(delay) for delay in delays if delay is not None)
    assert sorted(seconds) == list(range(6))
    assert max(seconds.values()) < 1.1 * len(FLEET) / 6
    assert [StateCall(6000).delay_s(device, b"other") for device in FLEET] != delays


def test_a_part_of_the_fleet_is_asked_and_spread_as_the_whole() -> None:
    delays = [StateCall(1000, last=PARTS // 50 - 1).delay_s(device, NONCE) for device in FLEET]
    asked = [delay for delay in delays if delay is not None]
    assert 150 < len(asked) < 250
    assert min(asked) < 0.1
    assert max(asked) > 0.9


def test_only_those_named_are_asked() -> None:
    call = StateCall(0, only=("pi-1", "pi-2"))
    assert [device for device in FLEET if call.delay_s(device, NONCE) is not None] == ["pi-1", "pi-2"]
    with pytest.raises(EnvelopeError, match="fit into a call"):
        encode_state_call(StateCall(0, only=tuple(FLEET[: MAX_ONLY + 1])))


@pytest.mark.parametrize(
    "changed",
    [
        {"spread_ms": -1}, {"spread_ms": 600_001}, {"spread_ms": True}, {"first": PARTS}, {"last": -1},
        {"only": "pi-1"}, {"only": ["#"]}, {"only": [1]}, {"only": ["a"] * (MAX_ONLY + 1)}, {"v": 2}, {"colour": 1},
    ],
)  # fmt: skip
def test_broken_calls(changed: dict[str, object]) -> None:
    with pytest.raises(EnvelopeError):
        decode_state_call(cbor.encode({"v": 1, "spread_ms": 0, "first": 0, "last": 9, **changed}))
