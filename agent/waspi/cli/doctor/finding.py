"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from waspi.cli.exit_code import ExitCode
from waspi.errors import WaspiError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but something is dangerous or will cost data or time one day."""
    FAIL = "fail"
    """It does not work, or it is open to anybody."""


class Area(StrEnum):
    """Where it was found; an area's failures have their own exit code."""

    DEVICE = "device"
    CONFIG = "config"
    BROKER = "broker"


_EXIT_CODES = {Area.DEVICE: ExitCode.DEVICE, Area.CONFIG: ExitCode.USAGE, Area.BROKER: ExitCode.BROKER}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: Area
    what: str
    level: Level
    found: str
    todo: str = ""
    """What to do about it; empty when nothing has to be done."""

    def as_json(self) -> dict[str, object]:
        """Give the finding for scripts."""
        return {key: str(value) if isinstance(value, StrEnum) else value for key, value in asdict(self).items()}


def look(area: Area, what: str, at: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Give what ``at`` finds. What it cannot look at is a finding like any other, and never the end of the others."""
    try:
        yield from at()
    except WaspiError as error:
        yield Finding(area, what, Level.FAIL, error.message, "mend that, and look again")
    except Exception as error:  # noqa: BLE001 - whatever a kernel without /proc comes up with
        said = f"could not look: {type(error).__name__}: {error}"
        yield Finding(area, what, Level.WARN, said, "look yourself; the other findings hold")


def exit_code_of(findings: list[Finding]) -> ExitCode:
    """Give 0 when nothing failed, else the code of the area that failed: configuration first, then broker, device."""
    failed = {finding.area for finding in findings if finding.level is Level.FAIL}
    for area in (Area.CONFIG, Area.BROKER, Area.DEVICE):
        if area in failed:
            return _EXIT_CODES[area]
    return ExitCode.OK
