from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.journal.sample import NOW, a_row, at_once, commit, done, known
from waspi.journal.journal import Journal
from waspi.journal.operations import Finish, Prune, Receive, Sent
from waspi.journal.quotas import Quotas
from waspi.journal.retention import protected
from waspi.model.state import JobState

DAY = 86_400.0
TEN_YEARS = 3652 * DAY
QUOTAS = Quotas(jobs=20, keep_jobs=5, result_bytes=1000, retention_s=DAY, horizon_s=DAY, margin_s=60)


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal.open(path, quotas=QUOTAS)
    yield opened
    opened.close()


def delivered(journal: Journal, job_id: str, *, received_at: float = NOW, expires_at: float | None = None) -> None:
    commit(journal, Sent(done(journal, job_id, received_at=received_at, expires_at=expires_at).id))


def test_the_oldest_go_when_there_are_too_many(journal: Journal) -> None:
    for number in range(60):
        delivered(journal, f"job-{number}")
    assert len(known(journal)) <= 21
    assert known(journal)[-1] == "job-59"
    assert journal.usage.jobs == len(known(journal))
    assert journal.counters.received == journal.counters.succeeded == 60


def test_what_is_not_final_or_not_delivered_stays(journal: Journal) -> None:
    commit(journal, Receive(a_row("queued")), Receive(a_row("running")))
    done(journal, "unsent")
    for number in range(60):
        delivered(journal, f"job-{number}")
    assert known(journal)[:3] == ["queued", "running", "unsent"]
    (message,) = journal.reader.outbox()
    assert message.entry.payload == b"result"


def test_fault_16_a_job_is_remembered_until_it_has_expired(journal: Journal) -> None:
    for number in range(20):
        delivered(journal, f"signed-{number}", expires_at=NOW + 600)
    for number in range(40):
        delivered(journal, f"job-{number}")
    assert sum(job.startswith("signed") for job in known(journal)) == 20
    later = NOW + 600 + 61
    for number in range(40):
        delivered(journal, f"later-{number}", received_at=later)
    assert sum(job.startswith("signed") for job in known(journal)) == 0


def test_results_go_before_rows(journal: Journal) -> None:
    for number in range(10):
        commit(journal, at_once(f"job-{number}", bytes(200)))
    first, *_ = journal.reader.outbox()
    assert journal.usage.result_bytes == 2000, "nothing is dropped before it was delivered"
    commit(journal, *(Sent(row.id) for row in journal.reader.outbox()))
    commit(journal, Prune(NOW))
    assert journal.usage.result_bytes <= 1000
    oldest = journal.reader.job("job-0")
    assert oldest is not None
    assert (oldest.state, oldest.result) == (JobState.SUCCEEDED, None)
    newest = journal.reader.job("job-9")
    assert newest is not None
    assert newest.result == bytes(200)
    assert first.entry.job_id == "job-0"


def test_age_prunes_a_few_at_a_time_and_keeps_the_last(journal: Journal) -> None:
    for number in range(15):
        delivered(journal, f"job-{number}")
    commit(journal, Prune(NOW + DAY - 1))
    assert len(known(journal)) == 15
    commit(journal, Prune(NOW + DAY + 1, limit=4))
    assert known(journal)[0] == "job-4"
    for _ in range(5):
        commit(journal, Prune(NOW + DAY + 1, limit=4))
    assert known(journal) == [f"job-{number}" for number in range(10, 15)]


def test_fault_14_a_clock_ten_years_ahead_does_not_empty_the_memory(journal: Journal) -> None:
    for number in range(15):
        delivered(journal, f"job-{number}", expires_at=NOW + 60)
    for _ in range(10):
        commit(journal, Prune(NOW + TEN_YEARS))
    assert len(known(journal)) == QUOTAS.keep_jobs


def test_fault_14_a_clock_set_back_ten_years_does_not_stop_the_service(journal: Journal) -> None:
    """Rows with expiries in a far future must not count as protected for ten years."""
    for number in range(20):
        delivered(journal, f"before-{number}", expires_at=NOW + 60)
    back = NOW - TEN_YEARS
    for number in range(40):
        delivered(journal, f"after-{number}", received_at=back + 100 * number, expires_at=back + 100 * number + 1)
    assert sum(job.startswith("before") for job in known(journal)) == 0
    assert len(known(journal)) <= 22


@pytest.mark.parametrize(
    ("received", "expires", "now", "expected"),
    [
        (NOW, None, NOW, False),
        (NOW, NOW + 10, NOW + 9, True),
        (NOW, NOW + 10, NOW + 70, True),  # the margin
        (NOW, NOW + 10, NOW + 71, False),
        (NOW, NOW + TEN_YEARS, NOW + DAY + 59, True),
        (NOW, NOW + TEN_YEARS, NOW + DAY + 61, False),  # the horizon
        (NOW, NOW + 10, NOW - 2 * DAY, False),  # written under another clock
    ],
)
def test_how_long_a_row_is_protected(received: float, expires: float | None, now: float, *, expected: bool) -> None:
    assert protected(received, expires, now, QUOTAS) is expected


def test_totals_of_forgotten_jobs_survive_a_restart(path: Path) -> None:
    journal = Journal.open(path, quotas=QUOTAS)
    for number in range(30):
        commit(journal, Finish(at_once(f"job-{number}", b"", JobState.FAILED).row, False, None))
    assert len(known(journal)) < 30
    counters = journal.counters
    journal.close()
    journal = Journal.open(path, quotas=QUOTAS)
    assert (journal.counters.received, journal.counters.failed) == (counters.received, counters.failed) == (30, 30)
    journal.close()
