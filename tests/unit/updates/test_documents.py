"""What is written down: the register, what was seen, what agent and updater say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.updates.sample import life, release
from waspi.errors import EnvelopeError
from waspi.model.abi import Abi
from waspi.model.limits import Limits
from waspi.model.module_state import ModuleState
from waspi.updates.lifecycle import Life, ModuleRecord
from waspi.updates.modules_file import ModulesFile, decode_modules, encode_modules
from waspi.updates.seen import Seen, read_seen, write_seen
from waspi.updates.updater_messages import (
    CheckRequest,
    Fetched,
    Finished,
    NamedRelease,
    NotFetched,
    Refreshed,
    decode_message,
    encode_message,
)

LIVES = st.builds(
    Life,
    st.builds(
        replace,
        st.sampled_from([release("1"), release("2.0.0-rc.1+b")]),
        abi=st.sampled_from([Abi(), Abi(entry="main", headroom=0, input="text")]),
        limits=st.sampled_from([Limits(), Limits(fuel=5, time_ms=7)]),
    ),
    state=st.sampled_from(ModuleState),
    reason=st.text(max_size=200),
    group=st.just("kitchen"),
    serial=st.integers(0, 2**53),
    retry=st.integers(0, 9),
    barred=st.booleans(),
    failures=st.integers(0, 99),
)


@given(st.lists(LIVES, max_size=6))
def test_the_register_comes_back_as_it_was(lives: list[Life]) -> None:
    records = {"append": ModuleRecord("append", tuple(lives))}
    assert decode_modules(encode_modules(records)) == records


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_whatever_bytes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_modules(data)


def test_the_register_is_written_only_when_it_differs(tmp_path: Path) -> None:
    register = ModulesFile(tmp_path)
    record = ModuleRecord("append", (life("1"),))
    register.put(record)
    before = (tmp_path / "modules.json").stat().st_ino
    register.put(ModuleRecord("append", (replace(life("1"), jobs=5),)))  # counted in memory alone
    assert (tmp_path / "modules.json").stat().st_ino == before
    assert ModulesFile(tmp_path)["append"] == record
    register.put(ModuleRecord("append"))
    assert [*ModulesFile(tmp_path)] == []


def test_a_damaged_register_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_bytes(b'{"v":1,"modu')
    assert [*ModulesFile(tmp_path)] == []
    assert (tmp_path / "modules.damaged").exists()


def test_what_was_seen_comes_back(tmp_path: Path) -> None:
    assert read_seen(tmp_path) == Seen()
    seen = Seen({"timestamp/ab": 4, "root": 2}, {"kitchen": 3}, 1.5e9, "ab" * 32)
    write_seen(tmp_path, seen)
    assert read_seen(tmp_path) == seen
    (tmp_path / "seen.json").write_bytes(b"[]")
    with pytest.raises(EnvelopeError):
        read_seen(tmp_path)


@pytest.mark.parametrize(
    "message",
    [
        NamedRelease("append", "", "2.0.0", "kitchen", 4),
        Refreshed({"kitchen": 4}, 1.5e9, "ab" * 32),
        Fetched("append", "2.0.0", "kitchen", 4, 1),
        NotFetched("append", "2.0.0", "kitchen", 4, 0, "operator", "repository", "it is not there"),
        Finished("no-answer", "no depot answers", 3, 100),
    ],
)
def test_messages_come_back(message: object) -> None:
    assert decode_message(encode_message(message)) == message  # type: ignore[arg-type]


def test_a_request_comes_back_with_lists_within() -> None:
    task = CheckRequest(
        "pi-1", ("kitchen",), "", "", "/root.json", "/state", 1.0, 5, 65536, 8, {"a": "1"}, {"a": ("1", "2")}
    )
    back = decode_message(encode_message(task))
    assert isinstance(back, CheckRequest)
    assert (back.device, back.groups, back.serving) == ("pi-1", ("kitchen",), {"a": "1"})
    assert [*back.held["a"]] == ["1", "2"]


def test_other_messages_are_none() -> None:
    assert decode_message(b"") is None
    assert decode_message(b"?{}") is None
    assert decode_message(b'Z{"kind":"","more":1}') is None
    with pytest.raises(EnvelopeError):
        decode_message(b"Z{")
