"""The real agent, whose workers and compilers can be taken over: see :mod:`tests.attack.captured`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from waspi.device.__main__ import main
from waspi.sandbox import settings

_CAPTURED = (sys.executable, "-I", "-S", str(Path(__file__).with_name("captured.py")))


@dataclass(frozen=True, slots=True)
class CapturedSettings(settings.PoolSettings):
    """The agent's own, but for the programs."""

    worker_command: tuple[str, ...] = (*_CAPTURED, "worker")
    compiler_command: tuple[str, ...] = (*_CAPTURED, "compiler")


if __name__ == "__main__":
    settings.PoolSettings = CapturedSettings  # type: ignore[misc]  # main imports the agent, and that this, later
    sys.exit(main())
