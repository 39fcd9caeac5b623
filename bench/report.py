"""All sections of a run with the machine they belong to; also as JSON, of which table and picture are made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.figure import Figure
from bench.machine import Machine
from bench.section import Section
from bench.target import Target

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    when: str
    """Day of the run, ISO 8601."""
    quick: bool
    seconds: float
    """How long the run took."""
    machine: Machine
    sections: list[Section]

    @property
    def targets(self) -> list[Target]:
        """Of all sections."""
        return [target for section in self.sections for target in section.targets]

    def section(self, name: str) -> Section | None:
        """A section by its name."""
        return next((section for section in self.sections if section.name == name), None)

    def to_json(self) -> str:
        """Five significant digits, ratios and verdicts added for readers; :func:`read` passes these over."""
        document = _rounded({"schema": SCHEMA, **asdict(self)})
        for shown, section in zip(document["sections"], self.sections, strict=True):
            for fields, figure in zip(shown["figures"], section.figures, strict=True):
                fields["ratio"] = _rounded(section.ratio(figure))
            for fields, target in zip(shown["targets"], section.targets, strict=True):
                fields["met"] = target.met
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Report:
    """Read what :meth:`Report.to_json` wrote; raises ``ValueError`` for another schema."""
    document = json.loads(path.read_text())
    if document.pop("schema", None) != SCHEMA:
        raise ValueError(f"{path}: not schema {SCHEMA}")
    sections = document.pop("sections")
    machine = Machine(**document.pop("machine"))
    return Report(machine=machine, sections=[_section(fields) for fields in sections], **document)


def _section(fields: dict[str, Any]) -> Section:
    figures = [_without(figure, "ratio") for figure in fields.pop("figures")]
    targets = [_without(target, "met") for target in fields.pop("targets")]
    return Section(
        **fields,
        figures=[Figure(**figure) for figure in figures],
        targets=[Target(**target) for target in targets],
    )


def _without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


def _rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
