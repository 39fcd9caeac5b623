"""The table of targets in the README, which is the one of the last whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.session import ROOT
from bench.table import targets_table

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Report

README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- bench -->\n"
END: Final = "\n<!-- /bench -->"


def current(readme: Path = README) -> str:
    """What stands there now."""
    return readme.read_text().split(BEGIN)[1].split(END)[0]


def place(report: Report, readme: Path = README) -> None:
    """Put the report's table in its place."""
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}{targets_table(report.targets)}{END}{after}")
