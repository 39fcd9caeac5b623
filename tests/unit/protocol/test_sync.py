from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import ids
from waspi.errors import EnvelopeError
from waspi.model.state import JobState
from waspi.protocol import cbor
from waspi.protocol.sync import (
    MAX_BYTES,
    MAX_LISTED,
    SyncReport,
    answer,
    decode_sync_query,
    decode_sync_report,
    encode_sync_query,
    encode_sync_report,
    pages,
    reconcile,
)

states = st.sampled_from(list(JobState))
reports = st.builds(
    SyncReport,
    device=ids,
    boot=ids,
    jobs=st.dictionaries(ids, states, max_size=10),
    complete=st.booleans(),
    unknown=st.lists(ids, max_size=10).map(tuple),
)
GOOD: dict[object, object] = {"v": 1, "device": "pi", "boot": "b", "jobs": {"j": "QUEUED"}, "complete": True}


@given(reports)
def test_round_trip(report: SyncReport) -> None:
    assert decode_sync_report(encode_sync_report(report)) == report


@given(st.lists(ids, min_size=1, max_size=20))
def test_query_round_trip(asked: list[str]) -> None:
    assert decode_sync_query(encode_sync_query(asked)) == tuple(asked)


def test_the_fullest_messages_fit() -> None:
    names = [f"{number:063}" for number in range(MAX_LISTED)]
    jobs = dict.fromkeys(names, JobState.IN_PROGRESS)
    report = encode_sync_report(SyncReport("d" * 63, "b" * 63, jobs, complete=False, unknown=tuple(names)))
    assert len(report) < MAX_BYTES
    assert decode_sync_report(report).jobs == jobs
    assert decode_sync_query(encode_sync_query(names)) == tuple(names)


def test_more_do_not_fit() -> None:
    names = [f"j{number}" for number in range(MAX_LISTED + 1)]
    for report in (
        SyncReport("pi", "b", dict.fromkeys(names, JobState.QUEUED)),
        SyncReport("pi", "b", unknown=tuple(names)),
    ):
        with pytest.raises(EnvelopeError, match="257 ids"):
            encode_sync_report(report)
    for query in (names, []):
        with pytest.raises(EnvelopeError, match="fit into a query"):
            encode_sync_query(query)
    with pytest.raises(EnvelopeError, match="257 items"):
        decode_sync_query(cbor.encode({"v": 1, "ids": names}))


@pytest.mark.parametrize(
    "changes",
    [{"jobs": []}, {"jobs": {"#": "QUEUED"}}, {"jobs": {"j": "LOST"}}, {"jobs": {"j": 1}}, {"jobs": {1: "QUEUED"}},
     {"complete": 1}, {"unknown": ["#"]}, {"unknown": "j"}, {"boot": ""}, {"more": 1}],
)  # fmt: skip
def test_wrong_reports_are_refused(changes: dict[str, object]) -> None:
    decode_sync_report(cbor.encode(GOOD))
    with pytest.raises(EnvelopeError):
        decode_sync_report(cbor.encode({**GOOD, **changes}))


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for decode in (decode_sync_report, decode_sync_query):
        with pytest.raises(EnvelopeError):
            decode(data)


@given(st.sets(ids, max_size=30), st.dictionaries(ids, states, max_size=30), st.integers(0, 30), st.booleans())
def test_fault_07_every_waiting_job_is_resent_asked_for_or_under_way(
    extra: set[str], known: dict[str, JobState], listed: int, overlap: bool
) -> None:
    waiting = extra | (set(known) if overlap else set())
    some = dict(list(known.items())[:listed])
    report = SyncReport("pi", "b", some, complete=len(some) == len(known))
    first = reconcile(report, waiting)
    assert not first.resend & first.ask
    resend = set(first.resend)
    for page in pages(first.ask):
        told = decode_sync_report(encode_sync_report(answer(page, known, device="pi", boot="b")))
        then = reconcile(told, page)
        assert not then.ask
        resend |= then.resend
    assert resend == {job for job in waiting if job not in known or known[job].final}


def test_pages_are_bounded_and_stable() -> None:
    names = [f"j{number:04}" for number in range(1000)]
    parts = list(pages(reversed(names)))
    assert [len(part) for part in parts] == [256, 256, 256, 232]
    assert [name for part in parts for name in part] == names
