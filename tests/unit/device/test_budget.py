"""The device's budget delays jobs and fails none."""

from __future__ import annotations

from waspi.device.budget import Budget

MIB = 1024 * 1024


def test_without_bounds_everything_may_start() -> None:
    budget = Budget(0, 0, now=0.0)
    for _ in range(100):
        assert budget.admits(1 << 40, now=0.0)
        budget.begin(1 << 40)
    budget.end(1 << 40, 10**12)
    assert budget.admits(1, now=0.0)
    assert budget.next_deadline(0.0) is None


def test_time_is_spent_and_comes_back_by_the_minute() -> None:
    budget = Budget(6_000, 0, now=100.0)
    assert budget.admits(0, now=100.0)
    budget.begin(0)
    budget.end(0, run_us=9_000_000)
    assert not budget.admits(0, now=100.0)
    due = budget.next_deadline(100.0)
    assert due is not None
    assert 129 < due < 131  # 3,001 ms at 100 ms a second
    assert not budget.admits(0, now=129.0)
    assert budget.admits(0, now=due)


def test_time_is_not_saved_up_beyond_a_minute() -> None:
    budget = Budget(1_000, 0, now=0.0)
    assert budget.admits(0, now=3600.0)
    budget.end(0, run_us=1_000_000)
    assert not budget.admits(0, now=3600.0)


def test_memory_limits_of_what_runs_are_summed_up() -> None:
    budget = Budget(0, 100 * MIB, now=0.0)
    assert budget.admits(64 * MIB, now=0.0)
    budget.begin(64 * MIB)
    assert not budget.admits(64 * MIB, now=0.0)
    assert budget.admits(36 * MIB, now=0.0)
    budget.end(64 * MIB, 0)
    assert budget.admits(500 * MIB, now=0.0)  # alone it may: it was capped when it came in
