"""One run of the bench: where it works, how long it may take, whom it tells of its progress."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
GUEST = ROOT / "build" / "guests" / "append-rust.wasm"
"""The reference guest."""
INPUT = b"The input string"
OUTPUT = b"The input string<---- This is your string"


@dataclass(frozen=True, slots=True)
class Session:
    """What every measurement is given."""

    disk: Path
    """A folder of this run's on a real disk."""
    memory: Path
    """A folder of this run's on a tmpfs, where the machine has one."""
    quick: bool
    """A tenth of the samples: to see that it works, not to be believed."""
    say: Callable[[str], None]
    wheel: Path | None = None
    """The wheel whose size is told."""

    def count(self, full: int) -> int:
        """How many samples to take when ``full`` are wanted."""
        return max(2, full // 10) if self.quick else full


def cache_folder() -> Path:
    """Where everything lies that can be made again (``WASPI_CACHE``)."""
    named = os.environ.get("WASPI_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(named) if named else Path(base) / "waspi"
