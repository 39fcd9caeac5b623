"""What is known of the devices of a fleet, from what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from waspi.errors import EnvelopeError
from waspi.protocol.presence import Presence, PresenceState, decode_presence, supersedes
from waspi.protocol.reported import Reported, decode_reported

if TYPE_CHECKING:
    from collections.abc import Callable

Said = TypeVar("Said", Presence, Reported)


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as it presents itself."""

    id: str
    presence: Presence | None = None
    """``None``: it never said."""
    reported: Reported | None = None
    """What it says of itself, as far as it could be read; ``None``: it never said."""
    unreadable: str = ""
    """What is wrong with the last that it said, where that could not be read; what is known is then from before."""

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
    """Devices by id. A message that cannot be read marks its device, and no other."""

    def __init__(self) -> None:
        self._devices: dict[str, DeviceView] = {}
        self._broken: dict[str, dict[str, str]] = {}

    def presence(self, device: str, payload: bytes) -> bool:
        """Take in a presence message; an empty one clears. Returns whether it was news."""
        held = self.get(device).presence
        said = self._read(device, "presence", decode_presence, payload, held)
        if said is not None and not supersedes(said, held):
            said = held
        return self._put(device, presence=said)

    def reported(self, device: str, payload: bytes) -> bool:
        """Take in a reported state; an empty one clears. Returns whether it was news."""
        held = self.get(device).reported
        return self._put(device, reported=self._read(device, "reported", decode_reported, payload, held))

    def get(self, device: str) -> DeviceView:
        """Give what is known of ``device``, which may be nothing."""
        return self._devices.get(device) or DeviceView(device)

    def all(self) -> dict[str, DeviceView]:
        """Give every device that said something and did not take it back, by id."""
        known = (view for _, view in sorted(self._devices.items()))
        return {view.id: view for view in known if view.presence or view.reported or view.unreadable}

    def _read(
        self, device: str, kind: str, decode: Callable[[bytes], Said], payload: bytes, held: Said | None
    ) -> Said | None:
        broken = self._broken.setdefault(device, {})
        broken.pop(kind, None)
        try:
            return decode(payload) if payload else None
        except EnvelopeError as error:
            broken[kind] = error.message
            return held

    def _put(self, device: str, **said: Presence | Reported | None) -> bool:
        known = self.get(device)
        unreadable = "; ".join(self._broken[device].values())
        view = self._devices[device] = replace(known, unreadable=unreadable, **said)  # type: ignore[arg-type]
        return view != known
