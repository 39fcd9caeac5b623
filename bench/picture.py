"""A report's headline figures as an SVG of horizontal bars.

It brings its own background, light or dark as the reader's system likes, so that it can be read on any page.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10
from typing import TYPE_CHECKING, Final

from bench.figure import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.report import Report


@dataclass(frozen=True, slots=True)
class Chart:
    """One quantity of one section; on a logarithmic scale where subjects lie decades apart."""

    title: str
    section: str
    what: str
    logarithmic: bool = False


CHARTS: Final = (
    Chart("warm call from Python (less is better, log scale)", "calls", "warm call", logarithmic=True),
    Chart("call on a fresh instance (less is better, log scale)", "calls", "fresh call", logarithmic=True),
    Chart("job over MQTT, round trip p50 (less is better)", "roundtrip", "round trip p50"),
    Chart("jobs per second, 50 under way (more is better)", "roundtrip", "window 50"),
)
COLUMNS: Final = 2
WIDTH, PAD, LABEL, VALUE = 420, 20, 112, 84
"""Pixels: of a chart, its padding, the room for names and for values."""
TITLE, ROW, BAR = 26, 22, 14
STYLE: Final = """\
text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#24292f}
.title{font-weight:600}.page{fill:#f6f8fa;stroke:#d0d7de}.peer{fill:#8c959f}.ours{fill:#0969da}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#161b22;stroke:#30363d}.peer{fill:#6e7681}.ours{fill:#58a6ff}}"""


def picture(report: Report) -> str:
    """SVG 1.1, a few kilobytes; charts of sections that were not measured are left out."""
    drawn: list[tuple[Chart, list[tuple[str, float, str]]]] = []
    for chart in CHARTS:
        section = report.section(chart.section)
        if section is not None:
            bars = [(each.subject, each.median, each.unit) for each in section.figures if each.what == chart.what]
            drawn.append((chart, sorted(bars, key=lambda bar: bar[1], reverse=chart.what == "window 50")))
    body: list[str] = []
    top = PAD
    for first in range(0, len(drawn), COLUMNS):
        line = drawn[first : first + COLUMNS]
        for column, (chart, bars) in enumerate(line):
            body += _chart(chart, bars, PAD + column * (WIDTH + PAD), top)
        top += TITLE + ROW * max(len(bars) for _, bars in line) + PAD
    foot = f"Medians of {report.when}: {report.machine.processor}, {report.machine.cores} cores, {report.machine.arch}"
    body.append(_text(PAD, top + 4, foot))
    size = 'width="{0}" height="{1}" viewBox="0 0 {0} {1}"'
    width, height = COLUMNS * (WIDTH + PAD) + PAD, top + PAD
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size.format(width, height)}>',
            f"<title>waspi beside its peers</title><style>{STYLE}</style>",
            f'<rect class="page" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *body,
            "</svg>\n",
        ]
    )


def _chart(chart: Chart, bars: Sequence[tuple[str, float, str]], left: int, top: int) -> list[str]:
    parts = [_text(left, top + 10, chart.title, "title")]
    values = [value for _, value, _ in bars]
    room = WIDTH - LABEL - VALUE
    for row, (name, value, unit) in enumerate(bars):
        y = top + TITLE + row * ROW
        length = max(2.0, room * _part(value, values, logarithmic=chart.logarithmic))
        kind = "ours" if name.startswith("waspi") else "peer"
        parts += [
            _text(left, y + BAR - 3, name),
            f'<rect class="{kind}" x="{left + LABEL}" y="{y}" width="{length:.0f}" height="{BAR}" rx="2"/>',
            _text(left + LABEL + round(length) + 6, y + BAR - 3, shown(value, unit)),
        ]
    return parts


def _part(value: float, values: Sequence[float], *, logarithmic: bool) -> float:
    """How much of the room a bar takes, 0..1; a logarithmic scale begins at half of the smallest value."""
    if not logarithmic:
        return value / max(values)
    low = log10(min(values) / 2)
    return (log10(value) - low) / (log10(max(values)) - low)


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x}" y="{y}">{escape(text)}</text>'
