"""What somebody on the device asks of its agent: files in a folder, which outlive a restart of either side.

A request says what it means in full, so that doing it twice is doing it once: a file that cannot be removed, or that a
power cut brings back, does no harm.

The kernel tells the agent of a new one (``F_NOTIFY`` of ``fcntl(2)``), so that an idle agent need not look.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waspi.errors import PublisherError, StorageError, UsageError
from waspi.journal.durable import remove_durably, write_durably
from waspi.protocol import field, json_document
from waspi.protocol.ids import check_id

FOLDER: Final = "requests"
CHECK: Final = "check"
_ROLLBACK: Final = "rollback."
_MAX_BYTES: Final = 4096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """Give up one life of a release."""

    name: str
    """The module."""
    version: str
    """The release that serves and shall no longer."""
    retry: int
    """Of its life: a later life of the same release is another one."""
    force: bool = False
    """Also when there is no release to go back to: jobs by that name find nothing then."""


def ask_rollback(updates: Path, request: RollbackRequest) -> None:
    """Ask the agent whose folder ``updates`` is for a rollback.

    Raises ``UsageError`` where no agent takes requests, ``StorageError`` when the file cannot be written.
    """
    fields = {"version": request.version, "retry": request.retry, "force": request.force}
    _ask(updates, f"{_ROLLBACK}{check_id(request.name, 'module')}", json_document.encode_document(fields))


def ask_check(updates: Path) -> None:
    """Ask the agent to look for updates now. Raises as :func:`ask_rollback`."""
    _ask(updates, CHECK)


def _ask(updates: Path, request: str, content: bytes = b"") -> None:
    folder = updates / FOLDER
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there: has this device's agent an [updates] table, and did it run?")
    write_durably(folder / request, content, mode=0o600)


class LocalRequests:
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

    def take(self, on_check: Callable[[], None], on_rollback: Callable[[RollbackRequest], None]) -> None:
        """Hand over what is asked, and forget each when it was done.

        Raises ``StorageError`` after all were handed over, when some could not be read or removed.
        """
        self.news = False
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except OSError as error:
            raise StorageError(f"cannot read {self._folder}: {error.strerror}") from error
        failed: StorageError | None = None
        for name in names:
            try:
                if name == CHECK:
                    on_check()
                elif name.startswith(_ROLLBACK):
                    self._roll_back(name, on_rollback)
                else:
                    continue  # a file that is being written
                remove_durably(self._folder / name)
            except StorageError as error:
                failed = error
        if failed is not None:
            raise failed

    def _roll_back(self, name: str, on_rollback: Callable[[RollbackRequest], None]) -> None:
        path = self._folder / name
        try:
            fields = json_document.decode_document(path.read_bytes(), name, max_bytes=_MAX_BYTES)
            request = RollbackRequest(
                name=check_id(name.removeprefix(_ROLLBACK), "module"),
                version=json_document.text_field(fields, "version", name),
                retry=field.integer(fields.get("retry"), f"{name}: 'retry'"),
                force=field.boolean(fields.get("force"), f"{name}: 'force'"),
            )
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        except PublisherError as error:
            _log.error("a request on this device is not understood: %s", error.message)
            return
        on_rollback(request)

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._descriptor)  # first: the signal's default would end the process
        signal.signal(signal.SIGIO, self._before)

    def _on_change(self, _number: int, _frame: object) -> None:
        self.news = True
