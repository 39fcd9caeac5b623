from __future__ import annotations

from waspi.sandbox.pace import Pace


def test_nothing_lines_up_before_anything_is_known() -> None:
    assert Pace().line("a") == 1


def test_short_modules_line_up_and_long_ones_do_not() -> None:
    pace = Pace()
    for digest, run_us, line in (("a", 60, 8), ("b", 1_000, 4), ("c", 3_000, 1), ("d", 10_000_000, 1), ("e", 0, 8)):
        pace.note(digest, run_us)
        assert pace.line(digest) == line


def test_one_long_run_counts_at_once_and_is_forgotten_slowly() -> None:
    pace = Pace()
    pace.note("a", 60)
    pace.note("a", 3_000)
    assert pace.line("a") == 1
    lines = []
    for _ in range(20):
        pace.note("a", 60)
        lines.append(pace.line("a"))
    assert lines == sorted(lines)
    assert lines[0] == 1
    assert lines[-1] == 8
    pace.forget("a")
    assert pace.line("a") == 1


def test_the_number_of_modules_is_bounded() -> None:
    pace = Pace()
    for number in range(1000):
        pace.note(f"{number}", 1)
    assert pace.line("0") == 1
    assert pace.line("999") == 8
    assert len(pace._us) == len(pace._lines) == 64
