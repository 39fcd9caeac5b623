from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.protocol.strategies import cbor_items
from waspi.errors import EnvelopeError
from waspi.protocol import cbor


def decode(text: str, **bounds: int) -> object:
    return cbor.decode(bytes.fromhex(text), **{"max_bytes": 1 << 20, **bounds})


def refused(text: str, **bounds: int) -> str:
    with pytest.raises(EnvelopeError) as caught:
        decode(text, **bounds)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("empty", "", "empty"),
        ("trailing byte", "0100", "1 bytes after the end"),
        ("trailing item", "a0a0", "1 bytes after the end"),
        ("two-byte length, truncated", "5900", "ends within"),
        ("byte string of 2**64-1", "5bffffffffffffffff00", "ends within"),
        ("text string of 2**32-1", "7affffffff00", "ends within"),
        ("array of 2**64-1", "9bffffffffffffffff00", "ends within"),
        ("map of 2**63", "bb800000000000000000", "ends within"),
        ("truncated map", "a26161", "ends within"),
        ("truncated float", "fb3ff0", "ends within"),
        ("truncated head", "1b0000", "ends within"),
        ("head alone", "58", "ends within"),
        ("indefinite array", "9f01ff", "indefinite"),
        ("indefinite map", "bf6161 01ff", "indefinite"),
        ("indefinite bytes", "5f4101ff", "indefinite"),
        ("indefinite text", "7f6161ff", "indefinite"),
        ("lone break", "ff", "break"),
        ("duplicate key", "a2616101616102", "Duplicate"),
        ("duplicate key in a nested map", "a16162a2616101616102", "Duplicate"),
        ("duplicate key, other length of head", "a261610178016102", "Duplicate"),
        ("undefined", "f7", "simple value"),
        ("simple value 16", "f0", "simple value"),
        ("simple value 32", "f820", "simple value"),
        ("reserved head", "1c", "reserved"),
        ("reserved string head", "5d", "reserved"),
        ("half NaN", "f97e00", "NaN"),
        ("half infinity", "f97c00", "NaN"),
        ("half NaN with sign", "f9fe01", "NaN"),
        ("single infinity", "fa7f800000", "NaN"),
        ("double NaN", "fb7ff8000000000000", "NaN"),
        ("double negative infinity", "fbfff0000000000000", "NaN"),
        ("bad UTF-8", "62c328", "text string"),
        ("overlong UTF-8 of NUL", "62c080", "text string"),
        ("UTF-8 of a surrogate", "63eda080", "text string"),
    ],
)
def test_fault_23_hostile_bytes(name: str, text: str, says: str) -> None:
    assert says in refused(text), name


# Every tag that cbor2 6.3 decodes by itself, unknown ones, and every width of the tag's number.
@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 18, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261,
                                 1004, 43000, 55799, 65536, 2**32, 2**64 - 1])  # fmt: skip
@pytest.mark.parametrize("content", [0, "a", b"\x01", [1, 2], {}])
def test_fault_23_tags(tag: int, content: object) -> None:
    for value in (cbor2.CBORTag(tag, content), [cbor2.CBORTag(tag, content)], {"a": cbor2.CBORTag(tag, content)}):
        assert "tag" in refused(cbor2.dumps(value).hex())


def test_fault_23_depth_bomb() -> None:
    assert decode("81" * 4 + "01") == [[[[1]]]]
    assert "depth" in refused("81" * 5 + "01")
    assert "depth" in refused("a16161" * 5 + "01")
    assert "more than" in refused("81" * 1_000_000)
    assert "depth" in refused("81" * 10_000 + "01")
    assert "tag" in refused("d820" * 100_000)


def test_fault_23_number_of_items() -> None:
    assert decode("98ff" + "00" * 255, max_items=256) == [0] * 255
    assert "more than 255 items" in refused("98ff" + "00" * 255, max_items=255)
    assert "more than" in refused("9a000f4240" + "00" * 1_000_000)


def test_fault_23_size_is_looked_at_before_anything_else() -> None:
    assert "5 bytes: 4 are allowed" in refused("44ffffffff", max_bytes=4)


def test_what_cbor2_refuses_by_itself() -> None:
    """The options that the scan leaves to cbor2; when one of these fails, a new cbor2 has changed under us."""
    cases: list[tuple[str, dict[str, Any]]] = [
        ("8181818101", {"max_depth": 3}),
        ("a2616101616102", {"allow_duplicate_keys": False}),
        ("9f01ff", {"allow_indefinite": False}),
        ("61ff", {}),
    ]
    for text, options in cases:
        with pytest.raises(cbor2.CBORDecodeError):
            cbor2.loads(bytes.fromhex(text), **options)


def test_what_cbor2_cannot_be_told_to_refuse() -> None:
    """The reason for the scan, measured and not believed."""
    strict: dict[str, Any] = {
        "max_depth": 4,
        "allow_indefinite": False,
        "allow_duplicate_keys": False,
        "strict_hashable_types": True,
    }
    for text in ("0101", "c249010000000000000000", "d8236161", "d9d9f701", "f7", "f820", "f97e00"):
        cbor2.loads(bytes.fromhex(text), **strict)
        refused(text)


@given(st.binary(max_size=200))
@example(b"\xfb")
@example(b"\xa1\xa0\x01")
@example(b"\xa1\x80\x01")
@example(b"\xa1\x81\xa0\x01")
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        value = cbor.decode(data, max_bytes=150)
    except EnvelopeError:
        return
    # What is accepted means what cbor2 says it means, all of it.
    assert cbor2.loads(data) == value


@given(cbor_items, st.data())
def test_mutated_items_raise_nothing_else(value: object, data: st.DataObject) -> None:
    message = bytearray(cbor2.dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    for hostile in (bytes(message), bytes(message[:cut]), bytes(message) + b"\0"):
        try:
            cbor.decode(hostile, max_bytes=1 << 20, max_depth=8)
        except EnvelopeError as error:
            assert error.message.startswith("CBOR: ")  # noqa: PT017 - every other outcome is an error of the test


@given(cbor_items)
def test_round_trip(value: object) -> None:
    encoded = cbor.encode(value)
    decoded = cbor.decode(encoded, max_bytes=1 << 20, max_depth=16)
    assert decoded == value
    assert cbor.encode(decoded) == encoded


@settings(max_examples=50)
@given(st.dictionaries(st.text("abc", max_size=30), st.integers() | st.text("ab"), max_size=8))
def test_encoding_is_deterministic(value: dict[str, object]) -> None:
    """RFC 8949, 4.2.1: keys in the bytewise order of their encodings, whatever order they were put in."""
    value = {key: item if not isinstance(item, int) else item % 2**64 for key, item in value.items()}
    encoded = cbor.encode(value)
    assert encoded == cbor.encode(dict(reversed(value.items())))
    heads = [cbor2.dumps(key) for key in cbor2.loads(encoded)]
    assert heads == sorted(heads)
    assert cbor.encode_sorted(cbor2.loads(encoded)) == encoded


@pytest.mark.parametrize(
    ("value", "text"),
    [  # RFC 8949, appendix A
        (0, "00"), (23, "17"), (24, "1818"), (1000, "1903e8"), (1000000000000, "1b000000e8d4a51000"), (-1, "20"),
        (-1000, "3903e7"), (1.5, "f93e00"), (100000.0, "fa47c35000"), (1.1, "fb3ff199999999999a"), (False, "f4"),
        (True, "f5"), (None, "f6"), (b"\1\2\3\4", "4401020304"), ("IETF", "6449455446"), ("\u6c34", "63e6b0b4"),
        ([1, [2, 3], [4, 5]], "8301820203820405"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    ],
)  # fmt: skip
def test_vectors_of_rfc_8949(value: object, text: str) -> None:
    assert cbor.encode(value).hex() == text
    assert decode(text) == value
