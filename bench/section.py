"""What one measurement gave: its figures, who could not take part, and the targets that hang on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.figure import Figure
    from bench.target import Target


@dataclass(slots=True)
class Section:
    """Figures of several subjects, each measured in turns with the others; ``baseline`` is whom the ratios refer to."""

    name: str
    title: str
    about: str
    """How it was measured and what is fair or unfair about it: one paragraph."""
    baseline: str
    figures: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """What exactly was measured, by subject."""
    absent: dict[str, str] = field(default_factory=dict)
    """Subjects that could not be measured here, with the reason."""
    targets: list[Target] = field(default_factory=list)

    def median(self, subject: str, what: str) -> float | None:
        """The median of a figure, ``None`` when there is no such figure."""
        for figure in self.figures:
            if (figure.subject, figure.what) == (subject, what):
                return figure.median
        return None

    def ratio(self, figure: Figure) -> float | None:
        """The figure as a multiple of the baseline's; ``None`` for the baseline itself and where it has none."""
        base = self.median(self.baseline, figure.what)
        return None if not base or figure.subject == self.baseline else figure.median / base
