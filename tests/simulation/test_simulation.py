"""The simulation in small: ``make simulate`` is the large one."""

from __future__ import annotations

import os

import pytest

from tests.simulation.run import simulate

FIRST = int(os.environ.get("WASPI_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 40))
def test_no_job_is_lost_and_none_is_answered_in_two_ways(seed: int) -> None:
    simulate(seed)
