from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.unit.journal.sample import NOW, a_row, an_entry, at_once, commit, done, finished, known
from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal.journal import Journal
from waspi.journal.operations import Count, Finish, ForgetDeliveries, Operation, Receive, Sent
from waspi.journal.rows import JobRow, OutboxEntry, OutboxRow
from waspi.journal.schema import STATE_CODES
from waspi.model.state import JobState


def test_a_life_from_receipt_to_the_puback_of_the_result(journal: Journal) -> None:
    row = a_row(expires_at=NOW + 60, reply_to="reply/x", correlation=b"c", priority=3)
    assert commit(journal, Receive(row)) == []
    assert journal.reader.job("job-1") == a_row(
        expires_at=NOW + 60, reply_to="reply/x", correlation=b"c", priority=3, seq=1
    )
    assert journal.reader.state("job-1") is JobState.QUEUED
    commit(journal, Count("job-1", 2))
    assert [r.attempt for r in journal.reader.queued(10)] == [2]
    (message,) = commit(journal, finished(attempt=2))
    after = journal.reader.job("job-1")
    assert after is not None
    assert (after.state, after.attempt, after.body, after.result) == (JobState.SUCCEEDED, 2, b"", b"result")
    assert journal.reader.state("job-1") is JobState.SUCCEEDED
    assert journal.reader.state("nobody") is None
    assert journal.reader.outbox() == [message]
    assert message.entry == an_entry()
    commit(journal, Sent(message.id))
    assert journal.reader.outbox() == []
    assert journal.counters.received == journal.counters.succeeded == 1
    assert known(journal) == ["job-1"]


def test_a_short_job_is_written_whole_by_one_operation(journal: Journal) -> None:
    operation = at_once(expires_at=NOW + 60, reply_to="reply/x", correlation=b"c")
    (message,) = commit(journal, operation)
    stored = journal.reader.job("job-1")
    assert stored is not None
    assert (stored.state, stored.attempt, stored.body, stored.result) == (JobState.SUCCEEDED, 1, b"", b"result")
    assert (stored.expires_at, stored.reply_to, stored.correlation) == (NOW + 60, "reply/x", b"c")
    assert message.entry == operation.entry
    assert journal.usage.open == journal.usage.inbox_bytes == 0
    assert journal.counters.received == journal.counters.succeeded == 1


def test_a_message_keeps_all_its_properties(journal: Journal) -> None:
    entry = OutboxEntry("topic", b"\x00\xff", b"corr", "application/cbor", (("a", "1"), ("a", ""), ("ü", "2")), "job-1")
    (row,) = commit(journal, Finish(at_once().row, False, entry))
    assert journal.reader.message(row.id) == row
    assert row.entry == entry
    (bare,) = commit(journal, Finish(at_once("job-2").row, False, OutboxEntry("topic", b"")))
    assert journal.reader.outbox(row.id) == [bare]


def test_the_result_is_stored_once(journal: Journal, path: Path) -> None:
    result = os.urandom(200_000)
    commit(journal, at_once(result=result))
    commit(journal, Finish(at_once("job-2").row, False, an_entry("job-2", b"something else")))
    assert [r.entry.payload for r in journal.reader.outbox()] == [result, b"something else"]
    assert path.with_name("journal.db-wal").stat().st_size < 300_000


@pytest.mark.parametrize("state", [state for state in JobState if state.final])
@pytest.mark.parametrize("operation", [finished(result=b"second"), Count("job-1", 3), Receive(a_row()), at_once()])
def test_a_final_job_stays_as_it_is(journal: Journal, state: JobState, operation: Operation) -> None:
    commit(journal, at_once(state=state))
    before, usage = journal.reader.job("job-1"), journal.usage
    with pytest.raises(IllegalTransitionError, match="job job-1"):
        commit(journal, operation)
    assert journal.reader.job("job-1") == before
    assert journal.usage == usage


@pytest.mark.parametrize(
    "operation",
    [
        Receive(a_row("known")),
        Receive(a_row("new", state=JobState.SUCCEEDED)),
        at_once("known"),
        at_once("new", state=JobState.QUEUED),
        Count("nobody", 1),
        finished("nobody"),
        finished("known", state=JobState.IN_PROGRESS),
    ],
)
def test_an_illegal_operation_fails_alone(journal: Journal, operation: Operation) -> None:
    commit(journal, Receive(a_row("known")))
    outcomes = journal.commit([Receive(a_row("before")), operation, finished("before")])
    assert outcomes[0] is None
    assert isinstance(outcomes[1], IllegalTransitionError)
    assert outcomes[2] == journal.reader.outbox()[0]
    assert journal.usage.outbox_messages == 1
    assert journal.usage.open == 1


def test_the_queue_is_by_priority_then_arrival(journal: Journal) -> None:
    for number, priority in enumerate([0, 5, 0, -5, 5]):
        commit(journal, Receive(a_row(f"job-{number}", priority=priority)))
    done(journal, "ended", priority=100)
    assert [r.id for r in journal.reader.queued(10)] == ["job-1", "job-4", "job-0", "job-2", "job-3"]
    assert [r.id for r in journal.reader.queued(2, without={"job-1", "job-0"})] == ["job-4", "job-2"]


def test_the_modules_of_open_jobs_are_known(journal: Journal) -> None:
    commit(
        journal, Receive(a_row("a", module="sha256:" + "1" * 64)), Receive(a_row("b", module="x@1#sha256:" + "2" * 64))
    )
    done(journal, "ended", module="sha256:" + "3" * 64)
    assert journal.reader.pinned() == ["1" * 64, "2" * 64]
    assert journal.reader.last_seq() == 3


def test_fault_02_a_redelivered_plain_message_is_known_by_packet_id_and_payload(journal: Journal) -> None:
    body = b"raw"
    digest = hashlib.sha256(body).digest()
    done(journal, "old", body=body, plain=True, delivery=7)
    commit(journal, Receive(a_row("new", body=body, plain=True, delivery=7)))
    found = journal.reader.by_delivery(7, digest)
    assert found is not None
    assert found.id == "new"
    assert journal.reader.by_delivery(8, digest) is None
    assert journal.reader.by_delivery(7, b"other") is None
    commit(journal, ForgetDeliveries())
    assert journal.reader.by_delivery(7, digest) is None


def test_the_outbox_is_read_in_bounded_bites(journal: Journal) -> None:
    rows = [done(journal, f"job-{number}", result=bytes(1000)) for number in range(10)]
    assert journal.reader.outbox(max_bytes=2500) == rows[:3]
    assert journal.reader.outbox(rows[4].id, 3) == rows[5:8]
    assert journal.reader.outbox(max_bytes=1) == rows[:1]


def test_everything_is_there_after_a_restart(path: Path) -> None:
    journal = Journal.open(path)
    commit(journal, Receive(a_row("q")), Receive(a_row("r", attempt=1)), at_once("f"))
    counters, usage = journal.counters, journal.usage
    last = journal.reader.outbox()[-1].id
    journal.close()
    journal = Journal.open(path)
    assert journal.usage == usage
    assert journal.boot == 2
    assert journal.counters.received == counters.received == 3
    assert journal.counters.next_seq == counters.next_seq
    commit(journal, Sent(last))
    assert done(journal, "next").id > last
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


def test_each_state_that_is_kept_has_a_code() -> None:
    assert set(STATE_CODES) == set(JobState) - {JobState.IN_PROGRESS}
    assert len(set(STATE_CODES.values())) == len(STATE_CODES)
    assert 3 not in STATE_CODES.values(), "version 1 used it"


@pytest.mark.parametrize("at_end", [False, True])
def test_every_field_of_a_row_comes_back(journal: Journal, *, at_end: bool) -> None:
    row = JobRow(
        id="x",
        body_hash=bytes(range(32)),
        state=JobState.TIMED_OUT if at_end else JobState.QUEUED,
        received_at=NOW,
        topic="t",
        module="m",
        body=b"" if at_end else b"\x00b",
        attempt=1,
        priority=-100,
        expires_at=2.0**33,
        reply_to="r",
        correlation=b"\x00",
        plain=True,
        delivery=65535,
        result=b"\x00r" if at_end else None,
    )
    outcome = journal.commit([Finish(row, False, an_entry("x")) if at_end else Receive(row)])[0]
    assert isinstance(outcome, OutboxRow) is at_end
    stored = journal.reader.job("x")
    assert stored is not None
    slots: tuple[str, ...] = vars(JobRow)["__slots__"]
    assert {name: getattr(stored, name) for name in slots if name != "seq"} == {
        name: getattr(row, name) for name in slots if name != "seq"
    }
