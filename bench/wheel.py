"""How large the wheel is that a device downloads."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.section import Section
from bench.session import ROOT
from bench.target import Target

if TYPE_CHECKING:
    from pathlib import Path

    from bench.session import Session

NAME = "wheel"
SUBJECT = "waspi"
MB = 1_000_000


def measure(session: Session) -> Section:
    """Look at the wheel that was given, else at the newest in ``dist/``."""
    section = Section(NAME, "Wheel", "The file that pip downloads, and what it unpacks to.", SUBJECT)
    wheel = session.wheel or newest()
    if wheel is None:
        section.absent[SUBJECT] = "no wheel given and none in dist/; build one: make wheel"
        return section
    session.say(wheel.name)
    size = wheel.stat().st_size / MB
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist()) / MB
    section.versions[SUBJECT] = wheel.name
    section.figures = [
        Figure.of(SUBJECT, "wheel", "MB", [size]),
        Figure.of(SUBJECT, "installed", "MB", [unpacked]),
    ]
    section.targets.append(Target("wheel", size, 4, "MB"))
    return section


def newest() -> Path | None:
    """The wheel in ``dist/`` that was built last, if there is one."""
    wheels = (ROOT / "dist").glob("waspi-*.whl")
    return max(wheels, key=lambda wheel: wheel.stat().st_mtime, default=None)
