"""A broker and the way to it, in memory: packets arrive when the test lets them, or are lost with the connection.

Between device and broker lie two pipes. A connection that is cut loses what is in them; the session (what the broker
keeps for the device) survives that, unless the broker loses its memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from waspi.errors import BrokerError, RefusedByBrokerError, UnheardError, UnreachableBrokerError
from waspi.mqtt.link import LinkHandler
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings


@dataclass(slots=True)
class _Session:
    filters: set[str]
    waiting: deque[Incoming]
    sent: dict[int, Incoming]
    """Sent to the device and not acknowledged, by packet identifier."""


class VirtualBroker:
    """Holds the device's session and gives what the device says to ``on_publish``."""

    def __init__(self, on_publish: Callable[[Outgoing], None], *, receive_maximum: int = 4) -> None:
        self.limits = ServerLimits(receive_maximum=receive_maximum)
        self.refuses: Callable[[Outgoing], bool] = lambda _message: False
        self.refusal_code = 0x87
        self.unheard: Callable[[Outgoing], bool] = lambda _message: False
        """Of which messages there is no subscriber."""
        self._on_publish = on_publish
        self._session: _Session | None = None
        self._packet_id = 0
        self.link: VirtualLink | None = None

    @property
    def holds(self) -> int:
        """Messages for the device that it has not acknowledged."""
        return len(self._session.waiting) + len(self._session.sent) if self._session else 0

    def forget(self) -> None:
        """Lose everything; whoever is connected has to be cut as well."""
        self._session = None

    def accept(self, link: VirtualLink) -> bool:
        """A device connects; whether its session was there."""
        self.link = link
        if self._session is None:
            self._session = _Session(set(), deque(), {})
            return False
        for packet_id, message in sorted(self._session.sent.items(), reverse=True):
            self._session.sent[packet_id] = again = replace(message, dup=True)
            link.down.appendleft(replace(again, connection=link.connection_number))
        return True

    def subscribe(self, filters: Collection[str]) -> None:
        assert self._session is not None
        self._session.filters.update(filters)

    def unsubscribe(self, filters: Collection[str]) -> None:
        assert self._session is not None
        self._session.filters.difference_update(filters)

    def deliver(self, topic: str, payload: bytes, *, reply_to: str, correlation: bytes | None, retain: bool) -> None:
        """A publisher has published; without a session nobody is there to get it."""
        if self._session is None or not self._session.filters:
            return
        self._packet_id = self._packet_id % 65_535 + 1
        message = Incoming(topic, payload, 1, retain, False, self._packet_id, 0, reply_to, correlation)
        self._session.waiting.append(message)
        self.pump()

    def pump(self) -> None:
        """Send what the client's Receive Maximum has room for."""
        link, session = self.link, self._session
        while link is not None and session and session.waiting and len(session.sent) < link.settings.receive_maximum:
            message = session.waiting.popleft()
            session.sent[message.packet_id] = message
            link.down.append(replace(message, connection=link.connection_number))

    def take(self, packet: Outgoing | int, token: int) -> None:
        """Something arrives from the device: a publish, or an acknowledgement (the packet identifier)."""
        assert self.link is not None
        assert self._session is not None
        if isinstance(packet, int):
            assert packet in self._session.sent, "the device acknowledges what it was not sent"
            del self._session.sent[packet]
            self.pump()
        elif not packet.qos:
            self._on_publish(packet)
        elif self.refuses(packet):
            error = RefusedByBrokerError(f"publish refused: 0x{self.refusal_code:02x}", self.refusal_code)
            self.link.pubacks.append((token, error))
        elif self.unheard(packet):
            self.link.pubacks.append((token, UnheardError("nobody is subscribed")))
        else:
            self._on_publish(packet)
            self.link.pubacks.append((token, None))


class VirtualLink:
    """Same calls as :class:`waspi.mqtt.link.Link`."""

    def __init__(self, settings: LinkSettings, handler: LinkHandler, broker: VirtualBroker) -> None:
        self.settings = settings
        self.server = ServerLimits()
        self.online = False
        self.blocked = False
        self.address = settings.address
        self.connection_number = 0
        self.up: deque[tuple[Outgoing | int, int]] = deque()
        self.down: deque[Incoming] = deque()
        self.pubacks: deque[tuple[int, BrokerError | None]] = deque()
        self.on_acknowledge: Callable[[Incoming], None] = lambda _message: None
        self._handler = handler
        self._broker = broker
        self._in_flight: set[int] = set()
        self._tokens = 0

    # --- what the agent calls ---------------------------------------------------------------------------------------

    def start(self) -> None: ...

    @property
    def room(self) -> int:
        if not self.online:
            return 0
        return min(self.settings.window, self.server.receive_maximum) - len(self._in_flight)

    def publish(self, message: Outgoing) -> int:
        if not self.online:
            raise UnreachableBrokerError("not connected to the broker")
        largest = self.server.max_packet_bytes
        if largest is not None and len(message.payload) > largest:
            raise RefusedByBrokerError(f"the broker takes packets of {largest} bytes at most", 0x95)
        if not message.qos:
            self.up.append((message, 0))
            return 0
        assert self.room > 0, "the broker's Receive Maximum is passed"
        self._tokens += 1
        self._in_flight.add(self._tokens)
        self.up.append((message, self._tokens))
        return self._tokens

    def acknowledge(self, message: Incoming) -> bool:
        if not self.online or message.connection != self.connection_number:
            return False
        if not message.qos:
            return True
        self.on_acknowledge(message)
        self.up.append((message.packet_id, 0))
        return True

    def subscribe(self, filters: Collection[str]) -> None:
        self._broker.subscribe(filters)

    def unsubscribe(self, filters: Collection[str]) -> None:
        self._broker.unsubscribe(filters)

    def subscribe_only(self, filters: Collection[str], had: Collection[str] = ()) -> None:
        self.unsubscribe(set(had) - set(filters))
        self.subscribe(filters)

    def flush(self) -> None: ...

    def read_more(self) -> bool:
        return False

    def next_deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> None: ...

    def drop(self, reason: BrokerError) -> None:
        self.cut(reason)

    def close(self) -> None:
        self.online = False

    # --- what the test does -----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """The connection comes about."""
        if self.online:
            return
        self.connection_number += 1
        self.online = True
        self.server = self._broker.limits
        present = self._broker.accept(self)
        self._handler.on_online(present, self.server)
        self._broker.pump()

    def cut(self, reason: BrokerError | None = None) -> None:
        """The connection is lost, and with it what is on its way."""
        if not self.online:
            return
        self.online = False
        self._broker.link = None
        self.up.clear()
        self.down.clear()
        self.pubacks.clear()
        self._in_flight.clear()
        self._handler.on_offline(reason or UnreachableBrokerError("cut by the test"), 1.0)

    def carry_up(self) -> bool:
        """One packet reaches the broker."""
        if not self.up:
            return False
        self._broker.take(*self.up.popleft())
        return True

    def carry_down(self, index: int = 0) -> bool:
        """One message reaches the device; with ``index`` it overtakes others."""
        if not self.down:
            return False
        at = index % len(self.down)
        message = self.down[at]
        del self.down[at]
        self._handler.on_message(message)
        return True

    def carry_puback(self, index: int = 0) -> bool:
        """One acknowledgement reaches the device; with ``index`` it overtakes others."""
        if not self.pubacks:
            return False
        at = index % len(self.pubacks)
        token, refused = self.pubacks[at]
        del self.pubacks[at]
        self._in_flight.discard(token)
        self._handler.on_published(token, refused)
        return True
