"""What an updater concludes from the answers that came; the times are the test's."""

from __future__ import annotations

from waspi.protocol.depot import MAX_RANGE, ZLIB
from waspi.updates.depot_source import FAST_BYTES_S, NEAR_S, TELLING_BYTES, AnswerPace


def test_nothing_is_known_at_first_so_ranges_come_packed_and_few() -> None:
    pace = AnswerPace()
    assert pace.accept == (ZLIB,)
    assert pace.first_window(8, 4) == 4
    assert pace.first_window(2, 4) == 2


def test_a_small_answer_that_comes_at_once_tells_of_a_short_way() -> None:
    pace = AnswerPace()
    pace.came(200, NEAR_S / 2)
    assert pace.accept == ()
    assert pace.first_window(8, 4) == 8


def test_a_small_answer_that_comes_late_tells_nothing() -> None:
    pace = AnswerPace()
    pace.came(200, NEAR_S * 2)
    assert pace.accept == (ZLIB,)
    pace.came(200, NEAR_S / 2)  # the first one waited for the depot to come up
    assert pace.accept == ()


def test_a_near_link_that_turns_out_to_be_narrow_is_packed_for() -> None:
    pace = AnswerPace()
    pace.came(200, NEAR_S / 2)
    pace.came(MAX_RANGE, 2 * MAX_RANGE / FAST_BYTES_S)
    assert pace.accept == (ZLIB,)
    assert pace.first_window(8, 4) == 4


def test_the_last_large_answer_counts() -> None:
    pace = AnswerPace()
    pace.came(MAX_RANGE, 2 * MAX_RANGE / FAST_BYTES_S)
    pace.came(TELLING_BYTES - 1, 0.0001)  # too small to tell anything about the width
    assert pace.accept == (ZLIB,)
    pace.came(MAX_RANGE, MAX_RANGE / FAST_BYTES_S / 2)
    assert pace.accept == ()
