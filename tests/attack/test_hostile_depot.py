"""What a hostile depot tries (:mod:`tests.attack.hostile_depot`), on one running board."""

from __future__ import annotations

from pathlib import Path

from tests.attack.hostile_depot import ATTACKS, attack, board, flood, recover


def test_fault_20_no_answer_of_a_depot_takes_a_board_down_or_anywhere_else(tmp_path: Path) -> None:
    with board(tmp_path) as rig:
        for each in ATTACKS:
            attack(rig, each)
        flood(rig, 1000)
        recover(rig)
