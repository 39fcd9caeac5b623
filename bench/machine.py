"""The machine and the software that the figures belong to; nothing that names one particular machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.disk import file_system

if TYPE_CHECKING:
    from bench.session import Session

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader needs to judge a figure by."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    kernel: str
    arch: str
    python: str
    mosquitto: str
    waspi: str
    disk: str
    """File system of the durable measurements."""
    load_before: float
    """Load average of the last minute when the bench began."""

    @property
    def busy(self) -> bool:
        """Whether others used a quarter of it, so that the figures are theirs, too."""
        return self.load_before > self.cores / 4

    @classmethod
    def here(cls, session: Session) -> Self:
        """Look."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(pages / GIB, 1),
            system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
            kernel=re.sub(r"[^0-9.].*", "", platform.release()),
            arch=platform.machine(),
            python=platform.python_version(),
            mosquitto=_mosquitto(),
            waspi=_waspi(),
            disk=file_system(session.disk),
            load_before=round(os.getloadavg()[0], 2),
        )

    def __str__(self) -> str:
        """One sentence."""
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB, {self.arch}, {self.system}, "
            f"Linux {self.kernel}, {self.disk}; Python {self.python}, mosquitto {self.mosquitto}, {self.waspi}; "
            f"load {self.load_before:.2f} at the start"
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model"}:
            return value.strip()
    return "unknown processor"


def _mosquitto() -> str:
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else "unknown"


def _waspi() -> str:
    from waspi import __version__, _wasmer  # noqa: PLC0415 - the engine is asked for its name only

    return f"waspi {__version__} ({_wasmer.ENGINE})"
