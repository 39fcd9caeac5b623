from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import cbor_items, jobs
from waspi.errors import EnvelopeError
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, NamedModule
from waspi.protocol import cbor
from waspi.protocol.job_envelope import MAX_INPUTS, body_hash, claimed_id, decode_job, encode_job, job_from

GOOD: dict[object, object] = {"v": 1, "id": "j", "module": {"name": "m"}, "input": b"x"}
ABSENT = object()


def changed(**changes: object) -> bytes:
    fields = {**GOOD, **changes}
    return cbor.encode({key: value for key, value in fields.items() if value is not ABSENT})


@given(jobs())
def test_round_trip(job: Job) -> None:
    encoded = encode_job(job)
    assert decode_job(encoded) == job
    assert encode_job(decode_job(encoded), check=False) == encoded
    # Deterministic: what cbor2's canonical encoder makes of the same fields.
    assert cbor.encode(cbor.decode(encoded, max_bytes=1 << 20)) == encoded


def test_smallest_job() -> None:
    assert decode_job(changed()) == Job("j", NamedModule("m"), (b"x",))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"v": ABSENT}, "'v'"),
        ({"v": True}, "'v'"),
        ({"v": 1.0}, "'v'"),
        ({"v": 2}, "version 2"),
        ({"id": ABSENT}, "'id'"),
        ({"id": "A"}, "'id'"),
        ({"id": "a/b"}, "'id'"),
        ({"id": b"a"}, "'id'"),
        ({"module": ABSENT}, "'module'"),
        ({"module": "m"}, "'module'"),
        ({"module": {}}, "'module'"),
        ({"module": {"inline": b""}}, "empty"),
        ({"module": {"inline": "text"}}, "byte string"),
        ({"module": {"inline": b"x", "name": "m"}}, "unknown key 'name'"),
        ({"module": {"sha256": "ab"}}, "64 lower-case"),
        ({"module": {"sha256": "AB" * 32}}, "64 lower-case"),
        ({"module": {"sha256": b"\0" * 32}}, "64 lower-case"),
        ({"module": {"name": "../m"}}, "'name'"),
        ({"module": {"name": "m", "version": ""}}, "version"),
        ({"module": {"name": "m", "version": None}}, "version"),
        ({"input": ABSENT}, "'input' must be a byte string, not null or missing"),
        ({"input": "text"}, "'input' must be a byte string, not text"),
        ({"input": None}, "'input'"),
        ({"inputs": [b"x"]}, "both"),
        ({"input": ABSENT, "inputs": []}, "empty"),
        ({"input": ABSENT, "inputs": b"x"}, "array"),
        ({"input": ABSENT, "inputs": [b"x", "y"]}, "each of 'inputs'"),
        ({"input": ABSENT, "inputs": [b""] * (MAX_INPUTS + 1)}, "4097 items"),
        ({"colour": 1}, "unknown key 'colour'; known are abi"),
        ({"colour" * 1000: 1}, "unknown key 'colourcolour"),
        ({"abi": None}, "'abi'"),
        ({"abi": {"entry": ""}}, "'abi.entry' has 0"),
        ({"abi": {"entry": 1}}, "'abi.entry'"),
        ({"abi": {"headroom": -1}}, "'abi.headroom'"),
        ({"abi": {"headroom": 2**31}}, "'abi.headroom'"),
        ({"abi": {"headroom": True}}, "'abi.headroom'"),
        ({"abi": {"x": 1}}, "unknown key 'x'"),
        ({"limits": []}, "'limits'"),
        ({"limits": {"fuel": 0}}, "'limits.fuel'"),
        ({"limits": {"fuel": -1}}, "'limits.fuel'"),
        ({"limits": {"fuel": 2**63}}, "'limits.fuel'"),
        ({"limits": {"fuel": 1.5}}, "'limits.fuel'"),
        ({"limits": {"fuel": None}}, "'limits.fuel'"),
        ({"limits": {"cpu": 1}}, "unknown key 'cpu'"),
        ({"expires_at": "now"}, "'expires_at'"),
        ({"expires_at": 0}, "'expires_at'"),
        ({"expires_at": -5.5}, "'expires_at'"),
        ({"expires_at": 2**63}, "'expires_at'"),
        ({"expires_at": 1e300}, "'expires_at'"),
        ({"expires_at": True}, "'expires_at'"),
        ({"idempotent": True}, "unknown key 'idempotent'"),
        ({"priority": 101}, "'priority'"),
        ({"priority": -101}, "'priority'"),
        ({"priority": False}, "'priority'"),
        ({"audience": "pi"}, "'audience'"),
        ({"audience": "device/"}, "'audience'"),
        ({"audience": "device/a/b"}, "'audience'"),
        ({"audience": "device/#"}, "'audience'"),
        ({"audience": "fleet/a"}, "'audience'"),
    ],
)
def test_wrong_fields_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        decode_job(changed(**changes))
    assert says in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("key", [1, b"v", None, 1.5, True])
def test_keys_that_are_no_text(key: object) -> None:
    with pytest.raises(EnvelopeError, match="unknown key"):
        decode_job(cbor.encode({**GOOD, key: 1}))


@pytest.mark.parametrize("item", [None, 1, [], "job", b"job", [GOOD], True])
def test_no_map(item: object) -> None:
    with pytest.raises(EnvelopeError, match="a map is expected"):
        decode_job(cbor.encode(item))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_job(data)


@given(jobs(), st.data())
def test_fault_23_mutated_jobs_raise_nothing_else(job: Job, data: st.DataObject) -> None:
    message = bytearray(encode_job(job))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = decode_job(bytes(message))
    except EnvelopeError:
        return
    assert decode_job(encode_job(again)) == again


@given(st.sampled_from(["id", "module", "input", "inputs", "abi", "limits", "expires_at", "priority"]), cbor_items)
def test_any_item_in_any_field(key: str, item: object) -> None:
    try:
        job_from({**GOOD, key: item})
    except EnvelopeError as error:
        assert key in error.message  # noqa: PT017 - every other outcome is an error of the test


def test_size_is_capped_first() -> None:
    job = Job("j", InlineModule(b"\0" * 1000), (b"",))
    with pytest.raises(EnvelopeError, match="are allowed"):
        decode_job(encode_job(job), max_bytes=1000)


@pytest.mark.parametrize(
    "job",
    [
        Job("J", NamedModule("m"), (b"",)),
        Job("j", NamedModule("m"), ()),
        Job("j", NamedModule("m"), (), batch=True),
        Job("j", NamedModule("m"), (b"", b"")),
        Job("j", NamedModule("#"), (b"",)),
        Job("j", NamedModule("m"), (b"",), priority=1000),
        Job("j", NamedModule("m"), (b"",), limits=Limits(fuel=0)),
        Job("j", NamedModule("m"), (b"",), expires_at=float("nan")),
        Job("j", NamedModule("m"), (b"",), audience="x"),
    ],
)
def test_a_job_that_would_be_refused_is_not_sent(job: Job) -> None:
    with pytest.raises(EnvelopeError):
        encode_job(job)


def test_fault_09_another_body_has_another_hash() -> None:
    job = Job("j", NamedModule("m"), (b"x",))
    assert body_hash(encode_job(job)) == body_hash(encode_job(job))
    assert body_hash(encode_job(job)) != body_hash(encode_job(replace(job, inputs=(b"y",))))


def test_claimed_id() -> None:
    assert claimed_id({"id": "j", "else": 1}) == "j"
    assert [claimed_id(item) for item in ({"id": "#"}, {"id": 1}, {}, [], None, "j")] == [None] * 6
