"""Whatever bytes a child sends, the parent reads an answer within bounds or raises WorkerError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waspi.errors import Fault, WorkerError
from waspi.sandbox import frame
from waspi.sandbox.messages import Answer, Failure, parse_answer, parse_failure


def answer(outputs: list[bytes], log: bytes = b"") -> bytes:
    sizes = b"".join(frame.SIZE.pack(len(output)) for output in outputs)
    return frame.ANSWER_HEAD.pack(1, 2, 3, len(log), len(outputs)) + sizes + log + b"".join(outputs)


def failure(kind: bytes, message: bytes = b"m", function: bytes = b"", log: bytes = b"", offset: int = -1) -> bytes:
    head = frame.FAILURE_HEAD.pack(1, 2, 3, offset, len(kind), len(function), len(message), len(log))
    return head + kind + function + message + log


@given(st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=50))
def test_answer_comes_back(outputs: list[bytes], log: bytes) -> None:
    body = memoryview(answer(outputs, log))
    read = parse_answer(body, inputs=len(outputs), answer_bytes=250, log_bytes=50)
    assert (read.outputs, read.log) == (tuple(outputs), log)
    assert (read.spent.fuel, read.spent.memory_bytes, read.spent.run_us) == (1, 2, 3)


@given(st.binary(max_size=300), st.integers(0, 4))
def test_noise_is_an_answer_or_an_error(noise: bytes, inputs: int) -> None:
    try:
        read = parse_answer(memoryview(noise), inputs=inputs, answer_bytes=100, log_bytes=100)
    except WorkerError:
        return
    assert isinstance(read, Answer)
    assert sum(map(len, read.outputs)) <= 100


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=3), st.data())
def test_flipped_byte_never_escapes(outputs: list[bytes], data: st.DataObject) -> None:
    body = bytearray(answer(outputs, b"log"))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = parse_answer(memoryview(body), inputs=len(outputs), answer_bytes=27, log_bytes=0)
    except WorkerError:
        return
    assert sum(map(len, read.outputs)) <= 27


@given(st.binary(max_size=300))
def test_noise_is_a_failure_or_an_error(noise: bytes) -> None:
    with suppress(WorkerError):
        assert isinstance(parse_failure(memoryview(noise), log_bytes=100), Failure)


def test_bounds_of_an_answer() -> None:
    body = memoryview(answer([b"12345"]))
    with pytest.raises(WorkerError, match="wrong size"):
        parse_answer(body, inputs=1, answer_bytes=4, log_bytes=0)
    with pytest.raises(WorkerError, match="belong"):
        parse_answer(body, inputs=2, answer_bytes=9, log_bytes=0)
    loud = memoryview(answer([b""], b"x" * (frame.TRACE_BYTES + 1000)))
    with pytest.raises(WorkerError, match="belong"):
        parse_answer(loud, inputs=1, answer_bytes=9, log_bytes=0)


def test_failure_comes_back_in_one_clean_line() -> None:
    read = parse_failure(
        memoryview(failure(b"unreachable", "a\nb\x1b[0m é".encode() + b"\xff", b"f", b"log", 7)), log_bytes=3
    )
    assert (read.error.kind, read.error.fault) == ("unreachable", Fault.GUEST)
    assert read.error.message == "a b [0m é\N{REPLACEMENT CHARACTER}"
    assert (read.error.function, read.error.offset, read.log) == ("f", 7, b"log")
    assert parse_failure(memoryview(failure(b"trap")), log_bytes=0).error.offset is None


@pytest.mark.parametrize("kind", [b"bad-signature", b"broker", b"config", b"lockdown", b"storage", b"", b"no such"])
def test_kinds_that_are_not_a_childs_to_say(kind: bytes) -> None:
    with pytest.raises(WorkerError, match="blame"):
        parse_failure(memoryview(failure(kind)), log_bytes=0)


@pytest.mark.parametrize("broken", [failure(b"trap", b"m" * 1025), failure(b"trap")[:-1], failure(b"trap") + b"x"])
def test_failures_of_the_wrong_size(broken: bytes) -> None:
    with pytest.raises(WorkerError):
        parse_failure(memoryview(broken), log_bytes=0)


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=5))
def test_tables_come_back(table: dict[str, str]) -> None:
    clean = {key.replace("\0", " "): value.replace("\0", " ") for key, value in table.items()}
    try:
        packed = frame.pack_table(clean)
    except UnicodeEncodeError:  # lone surrogates: no child says such things
        return
    assert frame.unpack_table(packed) == clean


@given(st.binary(max_size=100))
def test_noise_is_a_table_or_a_value_error(noise: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(frame.unpack_table(noise), dict)
