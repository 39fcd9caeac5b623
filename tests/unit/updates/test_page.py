"""docs/UPDATES.md says what the code does: its tables of transitions, and the states that the command explains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from waspi.fleet.rollout.census import LEGEND
from waspi.fleet.rollout.record import TRANSITIONS as OF_ROLLOUT
from waspi.fleet.rollout.record import Phase
from waspi.model.module_state import TRANSITIONS as OF_RELEASE
from waspi.model.module_state import ModuleState

PAGE = Path(__file__).resolve().parents[3] / "docs" / "UPDATES.md"
State = TypeVar("State", bound=Enum)


def rows(header: str) -> dict[str, set[str]]:
    """The first cell of each row of the table with ``header``, and the states that its last cell names."""
    table = PAGE.read_text().split(header)[1].split("\n\n")[0].splitlines()[2:]
    found: dict[str, set[str]] = {}
    for line in table:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in cells[0].split(", "):
            found[name] = set(re.findall(r"[A-Z_]{4,}", cells[-1]))
    return found


def names(transitions: Mapping[State, frozenset[State]], *, without: set[State]) -> dict[str, set[str]]:
    return {now.name: {then.name for then in after - without} for now, after in transitions.items()}


def test_the_life_of_a_release() -> None:
    given_up = {ModuleState.ROLLED_BACK, ModuleState.FAILED}
    assert rows("| state | what it means | next |") == names(OF_RELEASE, without=given_up)
    assert all(given_up <= after for after in OF_RELEASE.values() if after), "the page says: from every state"


def test_the_phases_of_a_rollout() -> None:
    assert rows("| phase | what happens | next |") == names(OF_ROLLOUT, without={Phase.ABORTING})
    before = {phase for phase in Phase if not phase.final and not phase.goes_back}
    assert {phase for phase, after in OF_ROLLOUT.items() if Phase.ABORTING in after} == before


def test_every_state_of_a_board_is_explained() -> None:
    told = PAGE.read_text().split("States of boards")[1].split("\n\n")[0]
    assert set(re.findall(r"\*([a-z]+)\*", told)) == {str(outcome) for outcome in LEGEND}
