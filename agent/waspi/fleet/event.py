"""What a watcher of a fleet is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.model.result import Result
    from waspi.protocol.status import StatusChange


class EventKind(StrEnum):
    """Which of a device's messages it was."""

    PRESENCE = "presence"
    REPORTED = "reported"
    STATUS = "status"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """One thing that a device said."""

    kind: EventKind
    device: DeviceView
    """The device after it."""
    at: float
    """Unix time at which it came in here."""
    status: StatusChange | None = None
    """With STATUS."""
    result: Result | None = None
    """With RESULT."""
