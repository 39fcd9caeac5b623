"""What a reader sees of a run: medians, ratios, verdicts, and that nothing gets lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench.figure import Figure, percentile, shown
from bench.machine import Machine
from bench.picture import picture
from bench.report import Report, read
from bench.run import write
from bench.section import Section
from bench.table import markdown
from bench.target import Target

MACHINE = Machine("A <CPU> & more", 2, 23.9, "Debian", "6.1", "x86_64", "3.11.7", "2.0.11", "waspi 0", "ext4", 0.1)
SVG = "{http://www.w3.org/2000/svg}"


def section() -> Section:
    return Section(
        "calls",
        "Calls",
        "How.",
        "waspi",
        figures=[
            Figure.of("peer", "warm call", "us", [9.0, 10.0, 30.0]),
            Figure.of("waspi", "warm call", "us", [0.5]),
            Figure.of("peer", "AOT load", "us", [7.0]),
        ],
        versions={"waspi": "waspi 0.1.0"},
        absent={"ghost": "no Python 3.10 here"},
        targets=[Target("warm", 0.5, 1.5, "us"), Target("ratio", 9.0, 10.0, "x", at_most=False)],
    )


def report(*sections: Section) -> Report:
    return Report("2026-01-02", quick=False, seconds=12.0, machine=MACHINE, sections=list(sections))


def test_a_percentile_is_a_sample_that_was_taken() -> None:
    samples = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(samples, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    with pytest.raises(ValueError, match="needs samples"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.754, "0.75 us"), (8.238, "8.24 us"), (83.46, "83.5 us"), (1382.4, "1,382 us"), (-703, "-703 us")],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert shown(value, "us") == text


def test_a_target_is_met_at_its_bound() -> None:
    assert Target("t", 1.5, 1.5, "us").met
    assert not Target("t", 1.51, 1.5, "us").met
    assert Target("t", 10, 10, "x", at_most=False).met
    assert not Target("t", 9.9, 10, "x", at_most=False).met


def test_ratios_refer_to_the_baseline_and_are_left_out_where_it_has_no_figure() -> None:
    calls = section()
    assert [calls.ratio(figure) for figure in calls.figures] == [20.0, None, None]


def test_the_table_names_versions_absences_and_verdicts() -> None:
    lines = markdown(report(section())).splitlines()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
        if cells[1:]
    }
    assert rows["waspi 0.1.0"] == ["0.50 us", "-"]
    assert rows["peer"] == ["10.0 us (20.0x)", "7.00 us"]
    assert rows["ghost"] == ["no Python 3.10 here", ""]
    assert rows["warm"][-1] == "yes"
    assert rows["ratio"] == ["9.00 x", "≥ 10 x", "**no**"]
    assert len({line.count("|") for line in lines[lines.index("#### Calls") :] if "|" in line}) == 1


def test_a_run_that_is_not_to_be_believed_says_so() -> None:
    quick = Report("2026-01-02", quick=True, seconds=1.0, machine=MACHINE, sections=[])
    assert "not to be believed" in markdown(quick)
    busy = Report("2026-01-02", quick=False, seconds=1.0, machine=replace(MACHINE, load_before=0.6), sections=[])
    assert "Others used the machine" in markdown(busy)
    assert "believed" not in markdown(report())
    assert "Others" not in markdown(report())


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    before = report(section())
    write(before, tmp_path)
    after = read(tmp_path / "latest.json")
    assert after == before
    assert (tmp_path / "table.md").read_text() == markdown(after)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text('{"schema": 0}')
    with pytest.raises(ValueError, match="not schema 1"):
        read(file)


def test_the_picture_is_sound_and_longer_means_more() -> None:
    root = ET.fromstring(picture(report(section())))  # noqa: S314 - what was made here
    bars = {
        bar.get("class"): int(bar.get("width", "")) for bar in root.iter(f"{SVG}rect") if bar.get("class") != "page"
    }
    assert bars["peer"] > bars["ours"] > 0
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert "10.0 us" in texts
    assert any("A <CPU> & more" in text for text in texts)


def test_a_picture_of_nothing_is_a_picture() -> None:
    assert ET.fromstring(picture(report())).tag == f"{SVG}svg"  # noqa: S314 - what was made here
