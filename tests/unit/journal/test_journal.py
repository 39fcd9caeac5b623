from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.unit.journal.sample import NOW, a_row, an_entry, commit, done, finished, running
from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.journal import Journal
from waspi.journal.operations import Deliver, Finish, ForgetDeliveries, Operation, Receive, Requeue, Sent, Start
from waspi.journal.rows import JobRow, KnownJob, OutboxEntry
from waspi.journal.schema import STATE_CODES
from waspi.model.state import JobState, may_become


def test_a_life_from_receipt_to_the_puback_of_the_result(journal: Journal) -> None:
    row = a_row(expires_at=NOW + 60, reply_to="reply/x", correlation=b"c", priority=3, idempotent=True)
    assert commit(journal, Receive(row)) == []
    stored = journal.reader.job("job-1")
    assert stored == a_row(
        expires_at=NOW + 60, reply_to="reply/x", correlation=b"c", priority=3, idempotent=True, seq=1
    )
    commit(journal, Start("job-1", 1))
    assert [r.id for r in journal.reader.interrupted()] == ["job-1"]
    (message,) = commit(journal, finished())
    after = journal.reader.job("job-1")
    assert after is not None
    assert (after.state, after.attempt, after.body, after.result) == (JobState.SUCCEEDED, 1, b"", b"result")
    assert journal.reader.outbox() == [message]
    assert message.entry == an_entry()
    commit(journal, Sent(message.id))
    assert journal.reader.outbox() == []
    assert journal.counters.received == journal.counters.succeeded == 1
    assert journal.reader.known() == [KnownJob(1, "job-1", JobState.SUCCEEDED)]


def test_a_message_keeps_all_its_properties(journal: Journal) -> None:
    entry = OutboxEntry(
        "topic", b"\x00\xff", b"corr", "application/cbor", (("a", "1"), ("a", ""), ("ü", "2")), None, NOW + 5
    )
    (row,) = commit(journal, Deliver(entry))
    assert journal.reader.message(row.id) == row
    assert row.entry == entry
    (bare,) = commit(journal, Deliver(OutboxEntry("topic", b"")))
    assert journal.reader.outbox(row.id) == [bare]


def test_the_result_is_stored_once(journal: Journal, path: Path) -> None:
    result = os.urandom(200_000)
    commit(journal, Receive(running()), finished(result=result))
    commit(journal, Deliver(an_entry(payload=result)))
    commit(journal, Deliver(an_entry(payload=b"something else")))
    assert [r.entry.payload for r in journal.reader.outbox()] == [result, result, b"something else"]
    assert path.with_name("journal.db-wal").stat().st_size < 300_000


def test_starting_a_job_does_not_write_its_body_again(journal: Journal) -> None:
    """What the column order and the state codes are for (:mod:`waspi.journal.schema`)."""
    commit(journal, Receive(a_row(body=os.urandom(500_000))))
    before = _bytes_written()
    commit(journal, Start("job-1", 1))
    assert _bytes_written() - before < 20_000


def _bytes_written() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("then", JobState)
def test_only_the_table_s_transitions_are_done(journal: Journal, state: JobState, then: JobState) -> None:
    if state is JobState.QUEUED:
        commit(journal, Receive(a_row()))
    else:
        commit(journal, Receive(running()))
        if state.final:
            way = () if may_become(JobState.IN_PROGRESS, state) else (Requeue("job-1"),)
            commit(journal, *way, Finish("job-1", state, b"first", None))
    operation: Operation = Finish("job-1", then, b"second", None)
    if then is JobState.IN_PROGRESS:
        operation = Start("job-1", 1 if state is JobState.QUEUED else 2)
    elif then is JobState.QUEUED:
        operation = Requeue("job-1")
    before = journal.reader.job("job-1")
    usage = journal.usage
    if may_become(state, then):
        commit(journal, operation)
        after = journal.reader.job("job-1")
        assert after is not None
        assert after.state is then
    else:
        with pytest.raises(IllegalTransitionError, match=f"job job-1 is {state} and cannot become {then}"):
            commit(journal, operation)
        assert journal.reader.job("job-1") == before
        assert journal.usage == usage


@pytest.mark.parametrize(
    "operation",
    [
        Receive(a_row("known")),
        Receive(a_row("new", state=JobState.SUCCEEDED)),
        Receive(a_row("new", attempt=1)),
        Start("known", 2),
        Start("nobody", 1),
        Finish("nobody", JobState.FAILED, b"", None),
        Finish("known", JobState.QUEUED, b"", None),
        Requeue("nobody"),
    ],
)
def test_an_illegal_operation_fails_its_group_alone(journal: Journal, operation: Operation) -> None:
    commit(journal, Receive(a_row("known")))
    groups: list[list[Operation]] = [
        [Receive(running("before"))],
        [Deliver(an_entry(None)), operation],
        [finished("before")],
    ]
    first, second, third = journal.commit(groups)
    assert first == ()
    assert isinstance(second, IllegalTransitionError)
    assert isinstance(third, tuple)
    assert [row.entry.job_id for row in journal.reader.outbox()] == ["before"]
    assert third == tuple(journal.reader.outbox())
    assert journal.usage.outbox_messages == 1
    assert journal.usage.queued == 1


def test_the_queue_is_by_priority_then_arrival(journal: Journal) -> None:
    for number, priority in enumerate([0, 5, 0, -5, 5]):
        commit(journal, Receive(a_row(f"job-{number}", priority=priority)))
    commit(journal, Receive(running("busy", priority=100)))
    assert [r.id for r in journal.reader.queued(10)] == ["job-1", "job-4", "job-0", "job-2", "job-3"]
    assert [r.id for r in journal.reader.queued(2, without={"job-1", "job-0"})] == ["job-4", "job-2"]


def test_fault_14_overdue_jobs_are_found_by_the_time_that_is_passed_in(journal: Journal) -> None:
    commit(journal, Receive(a_row("never")), Receive(a_row("late", expires_at=NOW + 10)))
    assert journal.reader.overdue(NOW + 9, 10) == []
    assert [r.id for r in journal.reader.overdue(NOW + 11, 10)] == ["late"]


def test_fault_02_a_redelivered_plain_message_is_known_by_packet_id_and_payload(journal: Journal) -> None:
    body = b"raw"
    digest = hashlib.sha256(body).digest()
    commit(journal, Receive(running("old", body=body, plain=True, delivery=7)), finished("old"))
    commit(journal, Receive(running("new", body=body, plain=True, delivery=7)))
    found = journal.reader.by_delivery(7, digest)
    assert found is not None
    assert found.id == "new"
    assert journal.reader.by_delivery(8, digest) is None
    assert journal.reader.by_delivery(7, b"other") is None
    commit(journal, ForgetDeliveries())
    assert journal.reader.by_delivery(7, digest) is None


def test_the_outbox_is_read_in_bounded_bites(journal: Journal) -> None:
    rows = [commit(journal, Deliver(an_entry(None, bytes(1000))))[0] for _ in range(10)]
    assert journal.reader.outbox(max_bytes=2500) == rows[:3]
    assert journal.reader.outbox(rows[4].id, 3) == rows[5:8]
    assert journal.reader.outbox(max_bytes=1) == rows[:1]


def test_everything_is_there_after_a_restart(path: Path) -> None:
    journal = Journal.open(path)
    commit(journal, Receive(a_row("q")), Receive(running("r")), Receive(running("f")), finished("f"))
    counters, usage = journal.counters, journal.usage
    last = journal.reader.outbox()[-1].id
    journal.close()
    journal = Journal.open(path)
    assert journal.usage == usage
    assert journal.boot == 2
    assert journal.counters.received == counters.received == 3
    assert journal.counters.next_seq == counters.next_seq
    commit(journal, Sent(last))
    assert commit(journal, Deliver(an_entry(None)))[0].id > last
    journal.close()


def test_ids_of_messages_are_not_used_twice_although_the_outbox_was_empty(path: Path) -> None:
    used: set[int] = set()
    for boot in range(4):
        journal = Journal.open(path)
        message = done(journal, f"job-{boot}")
        assert message.id > max(used, default=0)
        used.add(message.id)
        commit(journal, Sent(message.id))
        journal.close()


def test_two_agents_cannot_share_a_journal(journal: Journal) -> None:
    with pytest.raises(StorageError, match="in use by another waspi agent; stop that one first"):
        Journal.open(journal.path)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check that the folder exists"):
        Journal.open(tmp_path / "nowhere" / "journal.db")


def test_a_reader_sees_nothing_that_is_not_committed(journal: Journal) -> None:
    assert journal._connection is not None
    journal._connection.execute("BEGIN IMMEDIATE")
    journal._connection.execute("DELETE FROM meta")
    assert journal.reader._rows("SELECT COUNT(*) FROM meta") == [(1,)]
    journal._connection.execute("ROLLBACK")


def test_each_state_has_a_code_that_keeps_its_size_on_disk() -> None:
    assert set(STATE_CODES) == set(JobState)
    assert len(set(STATE_CODES.values())) == len(STATE_CODES)
    assert all(2 <= code <= 127 for code in STATE_CODES.values())


def test_every_field_of_a_row_comes_back(journal: Journal) -> None:
    row = JobRow(
        id="x",
        body_hash=bytes(range(32)),
        state=JobState.IN_PROGRESS,
        received_at=NOW,
        topic="t",
        module="m",
        body=b"\x00b",
        attempt=1,
        idempotent=True,
        priority=-100,
        expires_at=2.0**33,
        reply_to="r",
        correlation=b"\x00",
        plain=True,
        delivery=65535,
    )
    commit(journal, Receive(row))
    stored = journal.reader.job("x")
    assert stored is not None
    assert {name: getattr(stored, name) for name in row.__slots__ if name != "seq"} == {
        name: getattr(row, name) for name in row.__slots__ if name != "seq"
    }
