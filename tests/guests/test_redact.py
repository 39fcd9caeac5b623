"""The text filter against regular expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.guests.redact_reference import redact
from waspi import _wasmer
from waspi.abi_description import abi_from

if TYPE_CHECKING:
    from pathlib import Path

PIECES = st.one_of(
    st.sampled_from(["a@b.io", "ann.lee+x@mail.example.org.", "@", "a@b@c.de", "x@y.z1", "a@b..de"]),
    st.sampled_from(["192.168.0.1", "256.1.1.1", "1.2.3", "01.2.3.4", "10.0.0.255.", "1.2.3.4.5", "..."]),
    st.sampled_from(
        ["4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222", "6304000000000000000", "1234", "1"]
    ),
    st.text("0123456789 -", max_size=25),
    st.text(max_size=6),
)


@pytest.fixture(scope="module")
def guest(guests: Path) -> _wasmer.Module:
    return _wasmer.Module.compile((guests / "redact.wasm").read_bytes())


@settings(max_examples=300)
@given(st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "\n", ", ", "-"])), max_size=12))
@example([("4111 1111 1111 1111", " "), ("1234", "")])
def test_same_as_regular_expressions(guest: _wasmer.Module, pieces: list[tuple[str, str]]) -> None:
    text = "".join(piece + gap for piece, gap in pieces).encode()
    assert guest.run(text, entry="redact", headroom=0).output == redact(text)


def test_marks_and_log(guests: Path, guest: _wasmer.Module) -> None:
    abi = abi_from(guests / "redact.abi.toml")
    text = "Mail ann@example.org from 10.1.2.3, card 4111 1111 1111 1111 22. \N{HONEYBEE}"
    outcome = guest.run(text.encode(), entry=abi.entry, headroom=abi.headroom)
    assert outcome.output.decode() == "Mail [email] from [ip], card [card] 22. \N{HONEYBEE}"
    assert outcome.log == b"redact: 1 email, 1 ip, 1 card\n"


def test_the_result_may_grow(guest: _wasmer.Module) -> None:
    text = b"a@b.io\n" * 10_000
    assert guest.run(text, entry="redact", headroom=0).output == b"[email]\n" * 10_000


def test_a_warm_instance_gets_both_buffers_back(guest: _wasmer.Module) -> None:
    instance = guest.instantiate(entry="redact", headroom=0, memory_bytes=8 << 20)
    text = b"a@b.io, 1.2.3.4 \xff" * 5_000
    expected = redact(text)
    for _ in range(200):  # 32 MB in all, under a cap of 8 MiB
        assert instance.run(text).output == expected
    assert instance.run(b"").output == b""
