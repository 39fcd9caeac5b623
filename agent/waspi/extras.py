"""What a part of waspi needs beside the agent's own packages, and how to get it."""

from __future__ import annotations

import sys
from typing import Final

PACKAGES: Final = {
    "cli": ("typer", "rich", "cryptography", "watchfiles"),
    "signed": ("cryptography",),
    "ota": ("tuf", "securesystemslib[crypto]", "cryptography", "urllib3"),
}
"""Extra (``pyproject.toml``, optional-dependencies) to its packages. waspi itself is on no index; these are."""


def how_to_add(extra: str) -> str:
    """How to install an extra beside the waspi that runs: a command that works as it stands."""
    names = " ".join(f"'{name}'" if "[" in name else name for name in PACKAGES[extra])
    return f"install what is missing with: {sys.executable} -m pip install {names}"


def is_of(extra: str, module: str | None) -> bool:
    """Whether ``module``, which could not be imported, comes with an extra."""
    name = (module or "").partition(".")[0]
    return name in {package.partition("[")[0] for package in PACKAGES[extra]}
