"""The order and the bounds of what one connection has brought and not acknowledged yet."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

_FLOOD = 64
"""Times the Receive Maximum after which messages are dropped, where reading on cannot be helped."""
_FLOOD_PACKETS = 4
"""Largest packets that may be unacknowledged in bytes, for the same."""


class Entry(Enum):
    """What becomes of a QoS 1 message that comes in."""

    NEW = auto()
    AGAIN = auto()
    """The broker sends it once more while the first is at work: that one's PUBACK answers both."""
    DROPPED = auto()
    """One too many. It stays unacknowledged, and so comes again with the next connection."""


class Acknowledgements:
    """PUBACKs leave in the order in which their messages came (MQTT-4.6.0-2), in whatever order they are asked for.

    A message that is acknowledged before its predecessors waits for them. One object serves one connection: what it
    still holds when that is over, the broker sends again.
    """

    def __init__(self, receive_maximum: int, max_packet_bytes: int) -> None:
        self._most = _FLOOD * receive_maximum
        self._most_bytes = _FLOOD_PACKETS * max_packet_bytes
        self._order: deque[tuple[int, int]] = deque()
        """Packet identifier and bytes of payload."""
        self._held: set[int] = set()
        """The identifiers in it."""
        self._settled: set[int] = set()
        """Those of them that wait for their predecessors only."""
        self._bytes = 0
        self.dropped = 0
        """Messages that came in spite of everything and were dropped."""

    def __len__(self) -> int:
        """Messages whose PUBACK has not left."""
        return len(self._order)

    def enter(self, packet_id: int, size: int) -> Entry:
        """A QoS 1 message of ``size`` bytes has come."""
        if packet_id in self._held:
            return Entry.AGAIN
        if len(self._order) >= self._most or self._bytes >= self._most_bytes:
            self.dropped += 1
            return Entry.DROPPED
        self._order.append((packet_id, size))
        self._held.add(packet_id)
        self._bytes += size
        return Entry.NEW

    def settle(self, packet_id: int) -> list[int]:
        """The message may be acknowledged; returns the identifiers whose PUBACKs may leave now, in their order."""
        order, settled = self._order, self._settled
        if packet_id in self._held:
            settled.add(packet_id)
        ready = []
        while order and order[0][0] in settled:
            first, size = order.popleft()
            self._held.remove(first)
            settled.remove(first)
            self._bytes -= size
            ready.append(first)
        return ready
