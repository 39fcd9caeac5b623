"""A report as Markdown, for the README and for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figure import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.report import Report
    from bench.section import Section
    from bench.target import Target


def markdown(report: Report) -> str:
    """Targets first, then a table for each section; medians, in brackets as multiples of the section's baseline."""
    kind = " A quick run: not to be believed." if report.quick else ""
    kind += " Others used the machine: distrust the figures." if report.machine.busy else ""
    parts = [
        f"Measured {report.when} on {report.machine}.{kind}",
        "Medians; in brackets the multiple of the first row's figure.",
        targets_table(report.targets),
    ]
    for section in report.sections:
        parts += [f"#### {section.title}", section_table(section), section.about]
    return "\n\n".join(part for part in parts if part) + "\n"


def targets_table(targets: Iterable[Target]) -> str:
    """What was aimed at."""
    rows = [
        [
            target.name,
            shown(target.value, target.unit),
            f"{target.sign} {target.bound:g} {target.unit}",
            _verdict(target),
        ]
        for target in targets
    ]
    return _table(["what", "measured", "target", "met"], rows) if rows else ""


def section_table(section: Section) -> str:
    """Subjects down, what was measured across; the baseline is the first row."""
    whats = list(dict.fromkeys(figure.what for figure in section.figures))
    subjects = dict.fromkeys([section.baseline, *(figure.subject for figure in section.figures)])
    cells = {(figure.subject, figure.what): _cell(section, figure.subject, figure.what) for figure in section.figures}
    rows = [
        [section.versions.get(subject, subject), *(cells.get((subject, what), "-") for what in whats)]
        for subject in subjects
        if any((subject, what) in cells for what in whats)
    ]
    rows += [[subject, reason, *[""] * (len(whats) - 1)] for subject, reason in section.absent.items()]
    return _table([section.title.lower(), *(whats or [""])], rows)


def _cell(section: Section, subject: str, what: str) -> str:
    figure = next(each for each in section.figures if (each.subject, each.what) == (subject, what))
    ratio = section.ratio(figure)
    return shown(figure.median, figure.unit).strip() + (f" ({shown(ratio, 'x').replace(' x', 'x')})" if ratio else "")


def _verdict(target: Target) -> str:
    return "yes" if target.met else "**no**"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = (
        "| " + " | ".join("-" * width if not at else "-" * (width - 1) + ":" for at, width in enumerate(widths)) + " |"
    )
    return "\n".join([line(head), rule, *map(line, rows)])
