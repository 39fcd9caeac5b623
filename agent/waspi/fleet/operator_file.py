"""Files of the operator: written whole, with modes that are set and not left to the umask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.errors import OperatorError, StorageError
from waspi.journal.durable import write_durably

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_file(path: Path, content: bytes | str, mode: int) -> None:
    """Replace ``path``, whose folder is made if it is missing. Raises :class:`OperatorError`."""
    make_folder(path.parent)
    try:
        write_durably(path, content.encode() if isinstance(content, str) else content, mode=mode)
    except StorageError as error:
        raise OperatorError(error.message) from error


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Make a folder and those above it that are missing. Raises :class:`OperatorError`."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    try:
        for each in reversed(missing):
            each.mkdir()
            each.chmod(mode)
    except OSError as error:
        raise OperatorError(f"cannot make {error.filename}: {error.strerror}") from error
