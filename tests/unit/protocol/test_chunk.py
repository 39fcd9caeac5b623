from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waspi.errors import EnvelopeError
from waspi.protocol import cbor
from waspi.protocol.chunk import MAX_RESULT_BYTES, OVERHEAD, Assembler, Chunk, decode_chunk, split


def chunks(data: bytes, chunk_bytes: int, job: str = "j") -> list[Chunk]:
    return [decode_chunk(part) for part in split(data, job=job, device="pi", chunk_bytes=chunk_bytes)]


@given(st.binary(min_size=1, max_size=400), st.integers(1, 450), st.randoms(use_true_random=False))
def test_split_and_assemble_in_any_order_with_duplicates(data: bytes, size: int, shuffle: random.Random) -> None:
    parts = chunks(data, size)
    assert all(len(part.data) <= size for part in parts)
    doubled = [*parts, *parts[:-1]] if len(parts) > 1 else parts
    shuffle.shuffle(doubled)
    assembler = Assembler()
    wholes = [whole for part in doubled if (whole := assembler.add(part)) is not None]
    assert data in wholes


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_every_part_has_the_length_that_the_receiver_expects(size: int, chunk_bytes: int) -> None:
    if -(-size // chunk_bytes) < 500:
        parts = chunks(bytes(size), chunk_bytes)
        assert sum(len(part.data) for part in parts) == size


def test_overhead_is_an_upper_bound() -> None:
    longest = max(map(len, split(bytes(200_000), job="j" * 63, device="d" * 63, chunk_bytes=70_000)))
    assert longest <= 70_000 + OVERHEAD


def test_encoding_is_deterministic() -> None:
    for part in split(b"abc" * 100, job="j", device="pi", chunk_bytes=33):
        assert cbor.encode(cbor.decode(part, max_bytes=1 << 20)) == part


def test_what_does_not_fit_is_refused() -> None:
    for data, size in ((b"", 10), (b"x", 0), (bytes(70_000), 1)):
        with pytest.raises(EnvelopeError, match="does not fit"):
            list(split(data, job="j", device="pi", chunk_bytes=size))


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 3}, {"index": -1}, {"count": 0}, {"count": 2}, {"count": 70_000}, {"count": 101}, {"size": 0},
        {"size": 103}, {"size": MAX_RESULT_BYTES + 1}, {"sha256": b"short"}, {"sha256": "0" * 32}, {"data": b"x"},
        {"data": "x" * 34}, {"id": "#"}, {"more": 1}, {"v": 3},
    ],
)  # fmt: skip
def test_fault_20_wrong_chunks_are_refused(changes: dict[str, object]) -> None:
    part = next(split(bytes(100), job="j", device="pi", chunk_bytes=34))
    fields = cbor.decode(part, max_bytes=1 << 20)
    assert isinstance(fields, dict)
    decode_chunk(part)
    with pytest.raises(EnvelopeError):
        decode_chunk(cbor.encode({**fields, **changes}))


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_chunk(data)


def test_fault_20_a_changed_part_fails_the_hash() -> None:
    first, second = chunks(b"a" * 10, 5)
    assembler = Assembler()
    assert assembler.add(first) is None
    with pytest.raises(EnvelopeError, match="SHA-256"):
        assembler.add(replace(second, data=b"b" * 5))
    assert assembler.held_bytes == 0


def test_fault_20_the_same_part_with_other_bytes() -> None:
    first, second = chunks(b"a" * 10, 5)
    assembler = Assembler()
    assembler.add(first)
    with pytest.raises(EnvelopeError, match="twice"):
        assembler.add(replace(first, data=b"b" * 5))
    assert assembler.held_bytes == 0
    assert assembler.add(second) is None  # begins anew
    assert assembler.add(first) == b"a" * 10


def test_fault_20_parts_of_two_results_are_not_mixed() -> None:
    one, two = chunks(b"a" * 10, 5), chunks(b"b" * 10, 5)
    assembler = Assembler()
    assert assembler.add(one[0]) is None
    assert assembler.add(two[1]) is None
    assert assembler.add(one[1]) == b"a" * 10
    assert assembler.add(two[0]) == b"b" * 10


def test_fault_20_memory_is_bounded() -> None:
    assembler = Assembler(max_bytes=1000)
    for number in range(100):
        part = chunks(hashlib.sha256(bytes([number])).digest() * 20, 320, job=f"j{number}")[0]
        assert assembler.add(part) is None
        assert assembler.held_bytes <= 1000
    with pytest.raises(EnvelopeError, match="1000 are taken"):
        assembler.add(chunks(bytes(1001), 100)[0])
