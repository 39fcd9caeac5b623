from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import counts, digests, ids, limits, versions
from waspi.errors import EnvelopeError
from waspi.protocol.presence import Presence, PresenceState, decode_presence, encode_presence, supersedes
from waspi.protocol.reported import (
    LARGEST_PACKET,
    MessageLimits,
    Reported,
    ReportedModule,
    decode_reported,
    encode_reported,
)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
seconds = st.integers(0, 253_402_300_799)
presences = st.builds(Presence, st.sampled_from(list(PresenceState)), ids, seconds, words)
modules = st.builds(ReportedModule, ids, versions, digests, st.sampled_from(["ACTIVE", "TRIAL"]), words)
reporteds = st.builds(
    Reported,
    version=words,
    engine=words,
    arch=words,
    boot=ids,
    sandbox=st.dictionaries(words, words, max_size=4),
    modules=st.lists(modules, max_size=3).map(tuple),
    limits=limits,
    message_limits=st.builds(MessageLimits, *[st.none() | st.integers(1, LARGEST_PACKET)] * 3),
    groups=st.lists(ids, max_size=3).map(tuple),
    labels=st.dictionaries(words, words, max_size=4),
    counters=st.dictionaries(words, counts, max_size=4),
)
ONLINE = {"state": "online", "boot": "b1", "since": 5}


@given(presences)
def test_presence_round_trip(presence: Presence) -> None:
    assert decode_presence(encode_presence(presence)) == presence


@given(reporteds)
def test_reported_round_trip(reported: Reported) -> None:
    assert decode_reported(encode_reported(reported)) == reported


def test_presence_is_what_dashboards_expect() -> None:
    online = Presence(PresenceState.ONLINE, "b1", 5)
    assert encode_presence(online) == b'{"state":"online","boot":"b1","since":5}'
    assert json.loads(encode_presence(Presence(PresenceState.ONLINE, "b1", 5, "disk full")))["degraded"] == "disk full"


def test_the_same_report_gives_the_same_bytes() -> None:
    one = Reported("1", "e", "a", "b", labels={"x": "1", "y": "2"}, counters={"p": 1, "q": 2})
    two = Reported("1", "e", "a", "b", labels={"y": "2", "x": "1"}, counters={"q": 2, "p": 1})
    assert encode_reported(one) == encode_reported(two)


def test_newer_keys_are_passed_over() -> None:
    assert decode_presence(json.dumps({**ONLINE, "colour": [1]}).encode()) == Presence(PresenceState.ONLINE, "b1", 5)
    document = json.loads(encode_reported(Reported("1", "e", "a", "b")))
    assert decode_reported(json.dumps({**document, "moon": 1}).encode()) == Reported("1", "e", "a", "b")


def test_a_late_will_does_not_end_a_newer_session() -> None:
    first, second = Presence(PresenceState.ONLINE, "b1", 1), Presence(PresenceState.ONLINE, "b2", 2)
    will_of_first = Presence(PresenceState.OFFLINE, "b1", 1)
    assert supersedes(will_of_first, None)
    assert supersedes(will_of_first, first)
    assert not supersedes(will_of_first, second)
    assert supersedes(second, will_of_first)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[]", b"null", b'"online"', b"\xff", b"[" * 900, b"[" * 500_000, b'{"a":' * 100_000, b"1" * 500,
        b'{"state":"online","state":"offline","boot":"b","since":1}', b'{"state":"online","boot":"b","since":NaN}',
        b'{"state":"online","boot":"b","since":Infinity}', b'{"state":"online","boot":"b","since":true}',
        b'{"state":"online","boot":"b","since":-1}', b'{"state":"online","boot":"b","since":1e999}',
        b'{"state":"online","boot":"b","since":' + b"9" * 800 + b"}", b'{"state":"away","boot":"b","since":1}',
        b'{"state":"online","boot":"#","since":1}', b'{"state":"online","since":1}', b'{"state":["online"]}',
        b'{"state":"online","boot":"b","since":1,"degraded":1}',
    ],
)  # fmt: skip
def test_fault_23_hostile_documents(document: bytes) -> None:
    for decode in (decode_presence, decode_reported):
        with pytest.raises(EnvelopeError) as caught:
            decode(document)
        assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 1), ("engine", None), ("boot", "#"), ("sandbox", []), ("sandbox", {"seccomp": True}),
        ("modules", {}),
        ("modules", [1]), ("modules", [{"name": "m"}]), ("groups", ["#"]), ("groups", "g"), ("labels", {"x": 1}),
        ("counters", {"x": "1"}), ("counters", {"x": 1.5}), ("limits", {"fuel": -1}), ("limits", None),
        ("limits", {"packet_bytes": 0}), ("limits", {"input_bytes": "1"}), ("limits", {"module_bytes": 268_435_461}),
        ("limits", {"packet_bytes": True}), ("limits", {"packet_bytes": 1.5}),
        ("modules", [{"name": "m", "version": "1", "sha256": "zz", "state": "ACTIVE"}]), ("groups", ["g"] * 1025),
    ],
)  # fmt: skip
def test_wrong_reports_are_refused(key: str, value: object) -> None:
    document = json.loads(encode_reported(Reported("1", "e", "a", "b")))
    with pytest.raises(EnvelopeError, match=key):
        decode_reported(json.dumps({**document, key: value}).encode())


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for decode in (decode_presence, decode_reported):
        with pytest.raises(EnvelopeError):
            decode(data)
