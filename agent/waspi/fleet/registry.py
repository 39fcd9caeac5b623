"""What is known of the devices of a fleet, from their retained messages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from waspi.errors import EnvelopeError
from waspi.protocol.presence import Presence, PresenceState, decode_presence, supersedes
from waspi.protocol.reported import Reported, decode_reported


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as it presents itself."""

    id: str
    presence: Presence | None = None
    """``None``: it never said."""
    reported: Reported | None = None
    """What it says of itself; ``None``: it never said."""

    @property
    def state(self) -> str:
        """``online``, ``offline``, or ``unknown`` when it never said."""
        return "unknown" if self.presence is None else str(self.presence.state)

    @property
    def online(self) -> bool:
        """Whether it is online as far as the broker knows."""
        return self.presence is not None and self.presence.state is PresenceState.ONLINE

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that it says it is in."""
        return () if self.reported is None else self.reported.groups


class Registry:
    """Devices by id."""

    def __init__(self) -> None:
        self._devices: dict[str, DeviceView] = {}

    def presence(self, device: str, payload: bytes) -> bool:
        """Take in a presence message; an empty one clears. Returns whether it was news; broken ones are none."""
        known = self.get(device)
        if not payload:
            self._devices[device] = replace(known, presence=None)
            return known.presence is not None
        try:
            presence = decode_presence(payload)
        except EnvelopeError:
            return False
        if not supersedes(presence, known.presence):
            return False
        self._devices[device] = replace(known, presence=presence)
        return presence != known.presence

    def reported(self, device: str, payload: bytes) -> bool:
        """Take in a reported state; an empty one clears. Returns whether it was news; broken ones are none."""
        try:
            reported = decode_reported(payload) if payload else None
        except EnvelopeError:
            return False
        known = self.get(device)
        self._devices[device] = replace(known, reported=reported)
        return reported != known.reported

    def get(self, device: str) -> DeviceView:
        """Give what is known of ``device``, which may be nothing."""
        return self._devices.get(device) or DeviceView(device)

    def all(self) -> dict[str, DeviceView]:
        """Give every device that said something and did not take it back, by id."""
        known = (view for _, view in sorted(self._devices.items()))
        return {view.id: view for view in known if view.presence or view.reported}
