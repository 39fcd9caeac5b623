"""What somebody on the device asks of its agent: files in a folder, which outlive a restart of either side.

The kernel tells the agent of a new one (``F_NOTIFY`` of ``fcntl(2)``), so that an idle agent need not look.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from waspi.errors import StorageError, UsageError
from waspi.journal.durable import remove_durably, write_durably
from waspi.protocol.ids import check_id

FOLDER: Final = "requests"
CHECK: Final = "check"
_ROLLBACK: Final = "rollback."


def ask_rollback(updates: Path, name: str) -> None:
    """Ask the agent whose folder ``updates`` is to go back to the release of module ``name`` before this one.

    Raises ``UsageError`` where no agent takes requests, ``StorageError`` when the file cannot be written.
    """
    _ask(updates, f"{_ROLLBACK}{check_id(name, 'module')}")


def ask_check(updates: Path) -> None:
    """Ask the agent to look for updates now. Raises as :func:`ask_rollback`."""
    _ask(updates, CHECK)


def _ask(updates: Path, request: str) -> None:
    folder = updates / FOLDER
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there: has this device's agent an [updates] table, and did it run?")
    write_durably(folder / request, b"", mode=0o600)


class RequestBox:
    """The agent's side."""

    def __init__(self, updates: Path) -> None:
        """Watch the folder. Raises ``StorageError`` when it cannot be made."""
        self._folder = updates / FOLDER
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"cannot use {self._folder}: {error.strerror}") from error
        self.news = True
        """Whether there may be something in it."""
        self._before = signal.signal(signal.SIGIO, self._on_change)
        with contextlib.suppress(OSError):  # a kernel without it: requests are seen when a check begins
            fcntl.fcntl(self._descriptor, fcntl.F_NOTIFY, fcntl.DN_RENAME | fcntl.DN_CREATE | fcntl.DN_MULTISHOT)

    def take(self, on_check: Callable[[], None], on_rollback: Callable[[str], None]) -> None:
        """Hand over what is asked; each is forgotten when it was done. Raises ``StorageError``."""
        self.news = False
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError as error:
            raise StorageError(f"cannot read {self._folder}: {error.strerror}") from error
        for name in names:
            if name == CHECK:
                on_check()
            elif name.startswith(_ROLLBACK):
                on_rollback(name.removeprefix(_ROLLBACK))
            else:
                continue  # a file that is being written
            remove_durably(self._folder / name)

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._descriptor)  # first: the signal's default would end the process
        signal.signal(signal.SIGIO, self._before)

    def _on_change(self, _number: int, _frame: object) -> None:
        self.news = True
