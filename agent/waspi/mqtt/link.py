"""One client's session with the broker, over as many connections as it takes.

The owner runs a ``selectors`` loop with the convention that a key's ``data`` is a callable without arguments, called
when the descriptor is ready. Connecting blocks (names, TCP, TLS), so it happens on a short-lived thread that hands the
finished connection over; everything else happens on the loop's thread.
"""

from __future__ import annotations

import os
import random
import selectors
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum
from typing import Final, Protocol

from waspi.backoff import Backoff
from waspi.errors import (
    BrokerError,
    RefusedByBrokerError,
    SessionTakenOverError,
    UnreachableBrokerError,
    WaspiError,
)
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.connection import Accepted, Closed, Connection, Published, Subscribed
from waspi.mqtt.contract import differences
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings


class LinkState(StrEnum):
    """Where the session is."""

    IDLE = "idle"
    WAITING = "waiting"
    """Offline until the back-off is over."""
    CONNECTING = "connecting"
    """TCP and TLS, on the connecting thread."""
    GREETING = "greeting"
    """CONNECT is sent, CONNACK is awaited."""
    ONLINE = "online"
    CLOSED = "closed"


TRANSITIONS: Final[dict[LinkState, frozenset[LinkState]]] = {
    LinkState.IDLE: frozenset({LinkState.CONNECTING, LinkState.CLOSED}),
    LinkState.WAITING: frozenset({LinkState.CONNECTING, LinkState.CLOSED}),
    LinkState.CONNECTING: frozenset({LinkState.GREETING, LinkState.WAITING, LinkState.CLOSED}),
    LinkState.GREETING: frozenset({LinkState.ONLINE, LinkState.WAITING, LinkState.CLOSED}),
    LinkState.ONLINE: frozenset({LinkState.WAITING, LinkState.CLOSED}),
    LinkState.CLOSED: frozenset(),
}

_REFUSED_AT_LEAST_S = 5.0
_TAKEN_OVER_AT_LEAST_S = 30.0
_EXCESS = 4
"""Times the Receive Maximum that a broker may have unacknowledged before it is no longer read. mosquitto 2.0.11 passes
the Receive Maximum when a session with a long queue comes back."""
_NEXT_WITHIN_S = 1.0
"""Seconds within which another address of the broker is tried."""
_SHORT_S = 10.0
"""A connection that ends sooner did not prove itself: the back-off goes on from where it was."""
_SHORT_LIVES = 3
"""So many short connections in a row look like a second client with this id; not every broker says so (0x8E)."""


class LinkHandler(Protocol):
    """Called on the loop's thread, never from within a call that the owner makes to the link's other methods."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """The broker accepted the connection; subscriptions must be made again unless ``session_present``."""

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """The connection is lost or was not to be had."""

    def on_message(self, message: Incoming) -> None:
        """A message came; a QoS 1 message waits for ``acknowledge``."""

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """The broker answered for a QoS 1 publish: taken, or refused with a reason.

        An ``UnheardError`` is a refusal, too: who can wait for a subscriber may publish again.
        """

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """The broker answered for a subscription."""


class Link:
    """A session that keeps itself connected and publishes within the broker's window."""

    def __init__(
        self,
        settings: LinkSettings,
        selector: selectors.BaseSelector,
        handler: LinkHandler,
        clock: Callable[[], float],
        rng: random.Random | None = None,
        batch: int = 1 << 30,
    ) -> None:
        """Connect nothing yet.

        An owner that has other things to do between packets sets ``batch``, how many of them are handled at a time, and
        calls :meth:`read_more` until it says that there are no more.
        """
        self._batch = batch
        self.state = LinkState.IDLE
        self.server = ServerLimits()
        self._settings = settings
        self._selector = selector
        self._handler = handler
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._backoff = Backoff(rng=self._rng)
        self._addresses = (settings.address, *settings.address.others)
        self._told: set[str] = set()
        """Which shortcomings of the broker the owner has heard of."""
        self._connection: Connection | None = None
        self._connections = 0
        self._opening: Connection | None = None
        self._opened: BrokerError | None = None
        self._due = 0.0
        self._at = 0
        """Which of the broker's addresses is tried."""
        self._subscribed: set[str] = set()
        """What this object has subscribed the present session to."""
        self._window = 0
        self._online_at = 0.0
        self._short_lives = 0
        self._last_token = 0
        self._events = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        selector.register(self._wake, selectors.EVENT_READ, self._on_opened)

    # --- what the owner calls -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect now."""
        self._connect()

    @property
    def online(self) -> bool:
        """Whether the broker has accepted the present connection."""
        return self.state is LinkState.ONLINE

    @property
    def address(self) -> BrokerAddress:
        """The address that the present connection leads to, or the next attempt."""
        return self._addresses[self._at]

    @property
    def connection_number(self) -> int:
        """Number of the present or last connection."""
        return self._connections

    @property
    def blocked(self) -> bool:
        """Whether the network did not take all that was written: no window bounds what is sent with QoS 0."""
        return bool(self._events & selectors.EVENT_WRITE)

    @property
    def room(self) -> int:
        """How many QoS 1 publishes the window has room for."""
        connection = self._connection
        if connection is None or connection.closed or not self.online:
            return 0
        return self._window - len(connection.in_flight)

    def publish(self, message: Outgoing) -> int:
        """Send a message; returns the token that ``on_published`` will name (0 for QoS 0).

        Raises ``UnreachableBrokerError`` when offline, and ``BrokerError`` when the window is full or the broker's
        Maximum Packet Size would be passed.
        """
        connection = self._connection
        if connection is None or not self.online:
            raise UnreachableBrokerError("not connected to the broker")
        if message.qos and self.room <= 0:
            raise BrokerError("the broker's window is full")
        token = self._last_token + 1 if message.qos else 0
        connection.publish(message, token, self.server.max_packet_bytes)
        self._last_token += message.qos
        return token

    def acknowledge(self, message: Incoming) -> bool:
        """PUBACK, in the order in which the messages came: one that has predecessors waits for theirs.

        Returns whether it has left: ``False`` while it waits, and when the connection that brought the message is over,
        where it is dropped.
        """
        connection = self._connection
        if connection is None or message.connection != connection.number or not self.online:
            return False
        return connection.acknowledge(message.packet_id) if message.qos else True

    def subscribe(self, filters: Collection[str], *, qos: int = 1, retained: bool = True) -> None:
        """Ask for these topic filters; the broker's answer is told by ``on_subscribed``.

        ``qos`` is the largest that is wanted; without ``retained`` the broker sends nothing that it has kept.
        """
        if self._connection is not None and self.online:
            self._connection.subscribe(list(filters), qos=qos, retained=retained)
            self._subscribed.update(filters)

    def unsubscribe(self, filters: Collection[str]) -> None:
        """Ask for these topic filters no more."""
        if self._connection is not None and self.online:
            self._connection.unsubscribe(list(filters))
            self._subscribed.difference_update(filters)

    def subscribe_only(self, filters: Collection[str], had: Collection[str] = ()) -> None:
        """Have the session subscribed to these topic filters and to no others.

        The session remembers what an earlier process subscribed it to: ``had`` names what that may have been. Asks for
        what this object has not asked for in the present session; then ``on_subscribed`` is called, once.
        """
        leave = (self._subscribed | set(had)).difference(filters)
        if leave:
            self.unsubscribe(sorted(leave))
        join = [each for each in filters if each not in self._subscribed]
        if join:
            self.subscribe(join)

    def read_more(self) -> bool:
        """Handle the next packets of those that were received; whether there are still more."""
        connection = self._connection
        if connection is None or not connection.waiting:
            return False
        connection.read(self._batch)
        self._dispatch(connection)
        return connection is self._connection and connection.waiting

    def flush(self) -> None:
        """Write what waits; the owner calls it once at the end of each iteration of its loop."""
        connection = self._connection
        if connection is None:
            return
        done = connection.flush()
        if connection.stream.fileno() >= 0:
            self._watch(connection, writing=not done)
        if connection.events:
            self._dispatch(connection)
        acknowledgements = connection.acknowledgements
        if acknowledgements.dropped and not len(acknowledgements) and connection is self._connection:
            self._lost(
                BrokerError(
                    f"{connection.address}: the broker passed the Receive Maximum that it was told; "
                    f"{acknowledgements.dropped} messages were dropped and have to come again"
                )
            )

    def _watch(self, connection: Connection, *, writing: bool) -> None:
        """Tell the selector what is waited for; a broker that passes our Receive Maximum by far is not read on."""
        # With a full window it is read on: only the broker's answers make room, and acknowledgements may wait for that.
        unacknowledged = len(connection.acknowledgements)
        reading = unacknowledged < _EXCESS * self._settings.receive_maximum or self.room <= 0
        wanted = (selectors.EVENT_WRITE if writing else 0) | (selectors.EVENT_READ if reading else 0)
        if wanted == self._events:
            return
        descriptor = connection.stream.fileno()
        if not wanted:
            self._selector.unregister(descriptor)
        elif not self._events:
            self._selector.register(descriptor, wanted, self._on_ready)
        else:
            self._selector.modify(descriptor, wanted, self._on_ready)
        self._events = wanted

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called next, on the clock that was given."""
        return self._due if self.state in {LinkState.WAITING, LinkState.GREETING, LinkState.ONLINE} else None

    def tick(self, now: float) -> None:
        """Do what time asks for: connect again, give up on a silent CONNACK, send pings."""
        if now < self._due:
            return
        if self.state is LinkState.WAITING:
            self._connect()
        elif self.state is LinkState.GREETING:
            self._lost(UnreachableBrokerError(f"{self.address}: no CONNACK; is this an MQTT broker?"))
        elif self.state is LinkState.ONLINE and self._connection is not None:
            connection = self._connection
            connection.keep_alive()
            self._due = now + connection.keepalive_s / 4
            self._dispatch(connection)

    def drop(self, reason: BrokerError) -> None:
        """Give the present connection up and come back after the back-off."""
        if self.state in {LinkState.ONLINE, LinkState.GREETING}:
            self._lost(reason)

    def close(self, *, with_will: bool = False) -> None:
        """End the session's present connection for good."""
        if self.state is LinkState.CLOSED:
            return
        self._become(LinkState.CLOSED)
        self._selector.unregister(self._wake)
        if self._connection is not None:
            self._unregister(self._connection)
            self._connection.disconnect(with_will=with_will)
            self._connection = None
        os.close(self._wake)

    # --- connecting ---------------------------------------------------------------------------------------------

    def _become(self, state: LinkState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise WaspiError(f"link: no transition from {self.state} to {state}")
        self.state = state

    def _connect(self) -> None:
        self._become(LinkState.CONNECTING)
        self._connections += 1
        number, address = self._connections, self.address
        wake = os.dup(self._wake)  # outlives a close() that comes while the thread is still connecting

        def open_connection() -> None:
            connection = None
            try:
                connection = Connection(self._settings, address, number)
                connection.open()
                self._opened = None
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to hear of it
                said = error.message if isinstance(error, WaspiError) else f"{type(error).__name__}: {error}"
                self._opened = error if isinstance(error, BrokerError) else BrokerError(said)
                self._opened.__cause__ = error
            self._opening = connection
            if self.state is LinkState.CLOSED and connection is not None:
                connection.abandon()
            os.eventfd_write(wake, 1)
            os.close(wake)

        threading.Thread(target=open_connection, name="waspi-connect", daemon=True).start()

    def _on_opened(self) -> None:
        os.eventfd_read(self._wake)
        connection, error = self._opening, self._opened
        self._opening = self._opened = None
        if self.state is not LinkState.CONNECTING:
            return
        if error is not None or connection is None:
            self._lost(error or UnreachableBrokerError("the connection was not opened"))
            return
        self._connection = connection
        self._become(LinkState.GREETING)
        self._due = self._clock() + self._settings.connect_timeout_s
        self._events = selectors.EVENT_READ
        self._selector.register(connection.stream.fileno(), selectors.EVENT_READ, self._on_ready)
        self.flush()

    def _unregister(self, connection: Connection) -> None:
        try:
            self._selector.unregister(connection.stream)
        except (KeyError, ValueError):
            # paho has closed the socket already: find the key by what it was registered with
            for key in [key for key in self._selector.get_map().values() if key.data == self._on_ready]:
                self._selector.unregister(key.fileobj)

    def _lost(self, reason: BrokerError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._unregister(connection)
            connection.abandon()
        if self.state is LinkState.ONLINE and connection is not None:
            reason = self._judge(reason, connection)
        self._become(LinkState.WAITING)
        at_least = 0.0
        if isinstance(reason, SessionTakenOverError):
            at_least = _TAKEN_OVER_AT_LEAST_S
        elif isinstance(reason, RefusedByBrokerError):
            at_least = _REFUSED_AT_LEAST_S
        self._at = (self._at + 1) % len(self._addresses)
        untried = self._at and not at_least  # another address; the jitter spares it a crowd
        delay = self._rng.uniform(0, _NEXT_WITHIN_S) if untried else self._backoff.next(at_least)
        self._due = self._clock() + delay
        self._handler.on_offline(reason, delay)

    def _judge(self, reason: BrokerError, connection: Connection) -> BrokerError:
        """Why a connection was lost, when it says little itself and is not the first to end so soon."""
        if self._clock() - self._online_at >= _SHORT_S:
            self._short_lives = 0
            self._backoff.reset()
            return reason
        if not isinstance(reason, UnreachableBrokerError):
            return reason  # it says what was wrong
        self._short_lives += 1
        if self._short_lives < _SHORT_LIVES:
            return reason
        told = f"{reason.message}, {self._short_lives} times within {_SHORT_S:.0f} s of connecting"
        if connection.in_flight:
            sent = max(connection.in_flight.values(), key=lambda each: each.size)
            count = len(connection.in_flight)
            return UnreachableBrokerError(
                f"{told}, with {count} messages unanswered, the largest {sent.size} bytes for {sent.topic}: "
                f"does the broker take it? Or does another client use the id {self._settings.client_id!r}?"
            )
        return SessionTakenOverError(f"{told}; does another client use the id {self._settings.client_id!r}?")

    # --- traffic ------------------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.read(self._batch)
        self._dispatch(connection)

    def _dispatch(self, connection: Connection) -> None:
        events = connection.events
        while events and connection is self._connection:
            event = events.popleft()
            if isinstance(event, Incoming):
                self._handler.on_message(event)
            elif isinstance(event, Published):
                self._handler.on_published(event.token, event.refused)
            elif isinstance(event, Accepted):
                if self.state is not LinkState.GREETING:
                    self._lost(BrokerError(f"{connection.address}: the broker sent a second CONNACK"))
                    return
                self._become(LinkState.ONLINE)
                if not event.session_present:
                    self._subscribed.clear()
                told = differences(self._settings, event.limits)
                self.server = replace(event.limits, differences=tuple(each for each in told if each not in self._told))
                self._told.update(told)
                self._window = min(self._settings.window, event.limits.receive_maximum)
                self._online_at = self._clock()
                self._due = self._online_at + connection.keepalive_s / 4
                self._handler.on_online(event.session_present, self.server)
            elif isinstance(event, Subscribed):
                self._handler.on_subscribed(event.refused)
            elif isinstance(event, Closed):
                self._lost(event.reason)
