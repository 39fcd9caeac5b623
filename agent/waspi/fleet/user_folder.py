"""Where the operator's own files are."""

from __future__ import annotations

import os
from pathlib import Path

from waspi.errors import UsageError


def user_folder() -> Path:
    """Give ``$XDG_CONFIG_HOME/waspi``, by default ``~/.config/waspi`` (XDG Base Directory Specification).

    Raises :class:`UsageError` for a user without a home, as a service may be.
    """
    base = os.environ.get("XDG_CONFIG_HOME")
    if base:
        return Path(base) / "waspi"
    try:
        return Path.home() / ".config" / "waspi"
    except RuntimeError as error:
        raise UsageError("this user has no home folder for keys and profiles; set HOME or XDG_CONFIG_HOME") from error


def keys_folder() -> Path:
    """Give the folder of the operator's keys: ``$WASPI_KEYS``, by default ``keys`` in :func:`user_folder`.

    Raises as that does.
    """
    own = os.environ.get("WASPI_KEYS")
    return Path(own) if own else user_folder() / "keys"
