"""The README's tables: of faults, what the tests are; of figures, what was measured last."""

from __future__ import annotations

from pathlib import Path

from bench import readme
from bench.report import read
from bench.run import RESULTS
from bench.table import targets_table

from tests import faults


def test_every_fault_has_a_test() -> None:
    assert sorted(faults.places()) == list(faults.FAULTS)


def test_the_table_is_up_to_date() -> None:
    assert faults.current() == faults.table(), "run: python -m tests.faults --write"


def test_the_figures_are_those_of_the_last_run() -> None:
    report = read(RESULTS / "latest.json")
    assert not report.quick
    assert readme.current() == targets_table(report.targets), "run: python -m bench.run --redraw"


def test_figures_are_put_into_their_place(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before {readme.BEGIN}old{readme.END} after")
    readme.place(read(RESULTS / "latest.json"), page)
    assert readme.current(page) == readme.current()
    assert page.read_text().startswith("before ")
    assert page.read_text().endswith(" after")
