from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.journal.sample import a_row, at_once, commit, done, finished
from waspi.errors import StorageError
from waspi.journal.journal import Journal
from waspi.journal.operations import Receive, Sent
from waspi.journal.quotas import Admission, Quotas


def opened(path: Path, **quotas: int) -> Journal:
    return Journal.open(path, quotas=Quotas(**quotas))


def test_fault_08_a_full_outbox_stops_starts_and_keeps_taking_jobs_in(path: Path) -> None:
    journal = opened(path, outbox_bytes=2000)
    assert journal.may_start(1999)
    assert not journal.may_start(2000), "results on their way count as well"
    commit(journal, Receive(a_row("second")), at_once("first", bytes(2000)))
    assert not journal.may_start()
    assert journal.admission(1, 10) is Admission.ACCEPT
    commit(journal, Receive(a_row("third")))
    (message,) = journal.reader.outbox()
    commit(journal, Sent(message.id))
    assert journal.may_start()
    journal.close()


def test_fault_08_the_outbox_passes_its_quota_only_by_what_was_running(path: Path) -> None:
    """An hour of results with the broker away: jobs wait in the queue, nothing is dropped, the outbox is bounded."""
    journal = opened(path, outbox_bytes=50_000, inbox_jobs=200)
    accepted = refused = 0
    for number in range(400):
        if journal.admission(1, 10) is Admission.ACCEPT:
            commit(journal, Receive(a_row(f"job-{number}")))
            accepted += 1
        else:
            refused += 1
        for row in journal.reader.queued(1) if journal.may_start() else []:
            commit(journal, finished(row.id, bytes(1000)))
    assert refused > 0
    assert journal.usage.outbox_bytes < 50_000 + 2000
    assert journal.usage.open == 200
    # The broker is back: everything that was accepted is answered.
    answered: set[str | None] = set()
    while (messages := journal.reader.outbox()) or journal.usage.open:
        commit(journal, *(Sent(message.id) for message in messages))
        answered |= {message.entry.job_id for message in messages}
        for row in journal.reader.queued(8):
            commit(journal, finished(row.id, bytes(1000)))
    assert len(answered) == accepted
    journal.close()


@pytest.mark.parametrize("quotas", [{"inbox_jobs": 2}, {"inbox_bytes": 25}])
def test_a_full_inbox_refuses(path: Path, quotas: dict[str, int]) -> None:
    journal = opened(path, **quotas)
    assert journal.admission(1, 11) is Admission.ACCEPT
    assert journal.admission(3, 33) is Admission.REFUSE, "those that the disk does not have yet count as well"
    commit(journal, Receive(a_row("a", body=bytes(11))), Receive(a_row("b", body=bytes(11))))
    assert journal.admission(1, 11) is Admission.REFUSE
    commit(journal, finished("b"))
    assert journal.admission(1, 11) is Admission.ACCEPT
    journal.close()


def test_when_the_outbox_is_full_beyond_its_reserve_jobs_are_held(path: Path) -> None:
    journal = opened(path, inbox_jobs=0, outbox_bytes=1000, refusal_bytes=1000)
    number = 0
    while journal.admission(1, 1) is Admission.REFUSE:
        done(journal, f"job-{number}", result=bytes(200))
        number += 1
    assert journal.admission(1, 1) is Admission.HOLD
    assert 2 < number < 10
    journal.close()


def test_jobs_that_must_be_remembered_make_new_ones_wait_outside(path: Path) -> None:
    journal = opened(path, jobs=20)
    number = 0
    while journal.admission(1, 1) is Admission.ACCEPT:
        done(journal, f"job-{number}")  # none of the messages is sent: no row may go
        number += 1
    assert number == 22
    assert journal.admission(1, 1) is Admission.REFUSE
    journal.close()


def test_fault_10_the_file_is_bounded_and_the_journal_works_again_when_there_is_room(path: Path) -> None:
    quotas = Quotas(inbox_bytes=0, outbox_bytes=0, refusal_bytes=0, result_bytes=0, jobs=0, outbox_messages=0)
    assert quotas.file_bytes == 16 * 1024 * 1024
    journal = Journal.open(path, quotas=quotas)
    message = done(journal, "first")
    with pytest.raises(StorageError, match="full; make room"):
        commit(journal, Receive(a_row("huge", body=bytes(17 * 1024 * 1024))))
    assert journal.reader.job("huge") is None
    assert journal.usage.open == 0
    commit(journal, Sent(message.id))
    done(journal, "second")
    journal.close()
