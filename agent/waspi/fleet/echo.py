"""A client that sends itself messages: to measure the way to a broker, and to see what it lets through.

It must disturb nobody. A broker may give a client the id of its user (mosquitto's ``use_username_as_clientid``), and
then it takes over the session of that user's other client. So it never asks for a clean start, which would throw away
that client's jobs; a random id has no session, so when the broker says that there is one, it is somebody else's, and
:attr:`Echo.taken_over` says so.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Self

from waspi.errors import NoAnswerError
from waspi.fleet.loop import LoopThread
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings

if TYPE_CHECKING:
    from types import TracebackType

    from waspi.errors import BrokerError
    from waspi.mqtt.address import BrokerAddress
    from waspi.mqtt.settings import Tls

_EXPIRY_S = 10
_SESSION_EXPIRY_S = 300


class Echo:
    """One clean session, used from one thread; a context manager that connects."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        tls: Tls | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._timeout_s = timeout_s
        settings = LinkSettings(
            address=address,
            client_id=f"doctor-{secrets.token_hex(6)}",
            tls=tls,
            username=username,
            password=password,
            clean_start=False,
            session_expiry_s=_SESSION_EXPIRY_S,
            connect_timeout_s=timeout_s,
        )
        self.server = ServerLimits()
        self.taken_over = False
        """Whether the broker gave this client somebody else's session: stop at once."""
        self._told = threading.Condition()
        self._connected = False
        self._refused: BrokerError | None = None
        self._subscribed = 0
        self._filters: set[str] = set()
        self._reflections: dict[str, str] = {}
        self._back: dict[bytes, float] = {}
        self._loop = LoopThread(settings.client_id)
        self._link = Link(settings, self._loop.selector, self, time.monotonic)
        self._loop.link = self._link

    def __enter__(self) -> Self:
        """Connect; raises the :class:`BrokerError` of the first attempt."""
        self._loop.call(self._link.start)
        self._loop.start()
        with self._told:
            done = self._told.wait_for(lambda: self._connected or self._refused is not None, self._timeout_s + 5)
            refused = self._refused
        if refused is not None or not done:
            self._loop.close()
            raise refused or NoAnswerError("the broker did not answer")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close()

    @property
    def alive(self) -> bool:
        """Whether the connection has lasted since the start."""
        return self._connected and self._refused is None

    def subscribe(self, topic: str, *, timeout_s: float = 2.0) -> bool:
        """Subscribe to ``topic``, once; returns whether the broker answered."""
        with self._told:
            if topic in self._filters:
                return True
            self._filters.add(topic)
            before = self._subscribed
            self._loop.call(lambda: self._link.subscribe([topic]))
            return self._told.wait_for(lambda: self._subscribed > before, timeout_s)

    def reflect(self, topic: str, to: str) -> bool:
        """Publish whatever comes on ``topic`` again, to ``to``; returns whether the broker took the subscription."""
        self._reflections[topic] = to
        return self.subscribe(topic)

    def comes_back(
        self, topic: str, *, on: str | None = None, timeout_s: float = 2.0, before: str | None = None
    ) -> float | None:
        """Publish to ``topic`` and wait for the message on ``on``, by default on ``topic`` itself.

        ``before``: a topic that this client may write and read. A message on it follows; when that is back and the
        first is not, the first never comes, for a broker keeps their order. It spares the wait, and is surer than one.

        Returns the seconds until the message came back, ``None`` when it did not within ``timeout_s``.
        """
        nonce, last = secrets.token_bytes(16), secrets.token_bytes(16)
        for each in (on or topic, before):
            if each is not None and not self.subscribe(each, timeout_s=timeout_s):
                return None
        with self._told:
            start = time.perf_counter()
            self._loop.call(lambda: self._publish(Outgoing(topic, nonce, expires_in_s=_EXPIRY_S)))
            if before is not None:
                self._loop.call(lambda: self._publish(Outgoing(before, last, expires_in_s=_EXPIRY_S)))
            self._told.wait_for(lambda: nonce in self._back or last in self._back, timeout_s)
            self._back.pop(last, None)
            back = self._back.pop(nonce, None)
            return None if back is None else back - start

    def _publish(self, message: Outgoing) -> None:
        if self._link.online:
            self._link.publish(message)

    # --- LinkHandler ------------------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Wake who waits for the connection."""
        with self._told:
            self._connected = True
            self.taken_over = session_present
            self.server = limits
            self._told.notify_all()

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Note why."""
        del retry_in_s
        with self._told:
            self._refused = reason
            self._told.notify_all()

    def on_message(self, message: Incoming) -> None:
        """Note when a message came back, or send it on."""
        reflection = self._reflections.get(message.topic)
        if reflection is not None:
            self._publish(Outgoing(reflection, message.payload, expires_in_s=_EXPIRY_S))
            self._link.acknowledge(message)
            return
        with self._told:
            self._back[message.payload] = time.perf_counter()
            self._told.notify_all()
        self._link.acknowledge(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Pass over: what counts is what comes back."""
        del token, refused

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Wake who waits for the subscription."""
        del refused
        with self._told:
            self._subscribed += 1
            self._told.notify_all()
