"""TOML files that people write: one way to read them, one to say what is wrong."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from waspi.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read_toml(path: Path, what: str) -> dict[str, object]:
    """Read a file; ``what`` says in an error which one it is, as in "the golden pairs".

    Raises :class:`ConfigError` that names the file, and line and column where it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: it is not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
