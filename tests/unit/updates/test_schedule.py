"""When a check is due; the time is the test's."""

from __future__ import annotations

import random

from waspi.updates.schedule import Schedule, ScheduleTerms

TERMS = ScheduleTerms(interval_s=1000.0, spread_s=10.0, gap_s=2.0, retry_s=15.0)


def schedule(now: float = 0.0, seed: int = 1) -> Schedule:
    return Schedule(TERMS, now, random.Random(seed))  # noqa: S311 - jitter


def test_the_first_check_is_soon_and_not_everybodys_at_once() -> None:
    dues = [schedule(seed=seed).due for seed in range(50)]
    assert all(0 <= due <= 10 for due in dues)
    assert max(dues) - min(dues) > 5


def test_a_good_check_is_followed_by_the_interval_give_or_take() -> None:
    made = schedule()
    made.begin()
    made.ended(100.0, well=True)
    assert 1000 <= made.due <= 1200


def test_an_announcement_brings_it_forward_and_never_back() -> None:
    made = schedule()
    made.begin()
    made.ended(100.0, well=True)
    made.announced(200.0)
    first = made.due
    assert 200 <= first <= 210
    made.announced(205.0)
    assert made.due <= first


def test_an_announcement_during_a_check_counts_after_it() -> None:
    made = schedule()
    made.begin()
    made.announced(50.0)
    made.ended(60.0, well=True)
    assert 62 <= made.due <= 72


def test_failures_back_off_up_to_the_interval_and_a_good_one_ends_that() -> None:
    made = schedule()
    waits = []
    now = 0.0
    for _ in range(12):
        made.begin()
        made.ended(now, well=False)
        waits.append(made.due - now)
        now = made.due
    assert waits[0] <= 15
    assert all(wait <= 1000 for wait in waits)
    assert max(waits[-3:]) > 400
    made.begin()
    made.ended(now, well=True)
    made.begin()
    made.ended(now, well=False)
    assert made.due - now <= 15


def test_a_flood_of_announcements_is_no_flood_of_checks() -> None:
    made = schedule()
    now, checks = 0.0, 0
    while now < 60.0:
        made.announced(now)
        if now >= made.due:
            made.begin()
            checks += 1
            made.ended(now, well=True)
        now += 0.1
    assert checks <= 60 / TERMS.gap_s + 1
