"""A captured worker claims that its run took 292,000 years, to spend the budget of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attack.board import Finding

if TYPE_CHECKING:
    from tests.attack.board import Board

REST = "[budget]\nrun_ms_per_minute = 30000\n"


def attack(board: Board) -> Finding:
    """What is counted is what can have passed; the next job starts at once."""
    with board.operator("guest") as fleet:
        claimed = [board.ask(fleet, b"attack:long ago").usage.run_us for _ in range(5)]
        after = board.ask(fleet, b"next")
    return Finding(
        max(claimed) < 60_000_000 and after.outputs == (b"next",),
        "run times are capped by the time that passed",
        f"at most {max(claimed)} us were counted",
    )
