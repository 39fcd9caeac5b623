"""Which ranges are asked for when; the time is the test's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waspi.updates.range_window import FIRST_PATIENCE_S, FIRST_WINDOW, SILENCES, RangeWindow
from waspi.updates.source import Range, ranges_of

RANGES = ranges_of(100, 10)


def test_the_window_grows_with_what_comes() -> None:
    window = RangeWindow(RANGES, FIRST_WINDOW, 8, 0.0)
    assert window.ask(0.0) == RANGES[:4]
    assert window.ask(0.1) == []
    assert window.take(0, 1.0) == RANGES[0]
    assert window.ask(1.0) == RANGES[4:6]


def test_a_silence_asks_again_for_what_is_open_with_a_smaller_window_and_more_patience() -> None:
    window = RangeWindow(RANGES, FIRST_WINDOW, 8, 0.0)
    window.ask(0.0)
    assert window.ask(FIRST_PATIENCE_S - 0.1) == []
    assert window.deadline() == FIRST_PATIENCE_S
    assert window.ask(FIRST_PATIENCE_S) == RANGES[:2]
    assert window.deadline() == FIRST_PATIENCE_S * 3
    assert window.silences == 1


def test_slow_is_not_silent() -> None:
    window = RangeWindow(RANGES, FIRST_WINDOW, 8, 0.0)
    asked = window.ask(0.0)
    now = 0.0
    while not window.done:
        now += FIRST_PATIENCE_S - 1
        window.take(asked.pop(0).offset, now)
        asked += window.ask(now)
    assert window.silences == 0


def test_an_endless_silence_is_given_up() -> None:
    window = RangeWindow(RANGES, FIRST_WINDOW, 8, 0.0)
    now = 0.0
    while not window.given_up:
        window.ask(now)
        now = window.deadline()
    assert window.silences == SILENCES
    assert now < 400


def test_fault_20_what_nobody_waits_for_is_not_taken() -> None:
    window = RangeWindow(RANGES[:2], FIRST_WINDOW, 8, 0.0)
    window.ask(0.0)
    assert window.take(5, 0.1) is None
    assert window.take(20, 0.1) is None
    assert window.take(0, 0.1) == RANGES[0]
    assert window.take(0, 0.2) is None


def test_a_busy_depot_is_left_alone_for_as_long_as_it_says() -> None:
    window = RangeWindow(RANGES[:1], FIRST_WINDOW, 8, 0.0)
    window.ask(0.0)
    window.put_off(0, 1.0, 5.0)
    assert window.ask(2.0) == []
    assert window.deadline() == 6.0
    assert window.ask(6.0) == RANGES[:1]


def test_what_comes_late_counts_once() -> None:
    window = RangeWindow(RANGES[:3], FIRST_WINDOW, 8, 0.0)
    window.ask(0.0)
    window.ask(FIRST_PATIENCE_S)
    assert window.take(10, FIRST_PATIENCE_S + 1) == RANGES[1]  # asked for before the silence, waiting again since
    taken = set()
    while not window.done:
        for each in window.ask(FIRST_PATIENCE_S + 2):
            assert each.offset != 10
        for offset in (0, 20):
            if window.take(offset, FIRST_PATIENCE_S + 3):
                taken.add(offset)
    assert taken == {0, 20}


@given(st.integers(1, 40), st.integers(1, 16), st.data())
def test_everything_comes_whatever_is_lost(count: int, most: int, data: st.DataObject) -> None:
    wanted = ranges_of(count * 10, 10)
    window = RangeWindow(wanted, FIRST_WINDOW, most, 0.0)
    now, got = 0.0, list[Range]()
    for _ in range(2000):
        asked = window.ask(now)
        assert len(asked) <= most
        for each in asked:
            if data.draw(st.integers(0, 3)):
                now += 0.01
                taken = window.take(each.offset, now)
                if taken is not None:
                    got.append(taken)
        if window.done:
            break
        if not asked:
            now = max(now, min(window.deadline(), now + 100))
    if not window.given_up:
        assert sorted(got) == wanted
