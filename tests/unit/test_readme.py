"""The README's table of faults is what the tests are."""

from __future__ import annotations

from tests import faults


def test_every_fault_has_a_test() -> None:
    assert sorted(faults.places()) == list(faults.FAULTS)


def test_the_table_is_up_to_date() -> None:
    assert faults.current() == faults.table(), "run: python -m tests.faults --write"
