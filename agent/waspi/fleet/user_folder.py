"""Where the operator's own files are."""

from __future__ import annotations

import os
from pathlib import Path


def user_folder() -> Path:
    """Give ``$XDG_CONFIG_HOME/waspi``, by default ``~/.config/waspi`` (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "waspi"


def keys_folder() -> Path:
    """Give the folder of the operator's keys: ``$WASPI_KEYS``, by default ``keys`` in :func:`user_folder`."""
    own = os.environ.get("WASPI_KEYS")
    return Path(own) if own else user_folder() / "keys"
