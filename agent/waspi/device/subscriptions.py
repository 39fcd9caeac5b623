"""What the device's session at the broker is subscribed to: the session outlives the agent, and so does what it has."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from waspi.errors import StorageError
from waspi.journal.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from waspi.mqtt.link import Link

_log = logging.getLogger(__name__)


class Subscriptions:
    """Subscribes to what the configuration asks for, and leaves what an earlier one asked for.

    The file at ``path`` holds every topic filter that the session may have. Without it (or when it is damaged) nothing
    is left; the session ends by itself when the device is away for longer than its expiry.
    """

    def __init__(self, path: Path, link: Link, filters: Iterable[str]) -> None:
        self._path = path
        self._link = link
        self._filters = tuple(filters)
        self._had = _read(path)

    def begin(self) -> None:
        """Ask the broker; what is asked for is on the disk before."""
        self._remember({*self._had, *self._filters})
        self._link.subscribe_only(self._filters, self._had)

    def settled(self) -> None:
        """The broker has answered: the session has what was asked for, and nothing else."""
        self._remember(set(self._filters))

    def _remember(self, filters: set[str]) -> None:
        if filters == self._had:
            return
        try:
            write_durably(self._path, json.dumps(sorted(filters)).encode())
        except StorageError as error:
            _log.warning("a group that is left later may go on to send its jobs: %s", error.message)
        self._had = filters


def _read(path: Path) -> set[str]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return set()
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()
