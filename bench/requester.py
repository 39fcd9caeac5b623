"""The client of every MQTT measurement, the same for every responder."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

from bench.session import INPUT, OUTPUT
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings, Tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from waspi.errors import BrokerError

REPLY: Final = "reply/bench"
PATIENCE_S: Final = 60.0


class Responder(Protocol):
    """Who answers."""

    @property
    def topic(self) -> str:
        """Where it takes requests."""

    @property
    def ready_topic(self) -> str:
        """Where it says, retained, that it is there."""

    def body(self, number: int) -> bytes:
        """A request with this number."""


class Requester:
    """Publishes requests with QoS 1 and waits for their answers, in one loop of one thread."""

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        self._selector = selectors.DefaultSelector()
        settings = LinkSettings(
            BrokerAddress.parse(url), "requester", clean_start=True, session_expiry_s=0, window=64, tls=tls or Tls()
        )
        self.link = Link(settings, self._selector, self, time.monotonic)
        self.answers = 0
        self.last = b""
        self.seen: list[Incoming] = []
        """What came on other topics than the answers'."""
        self._subscribed = False
        self._number = 0

    def __enter__(self) -> Self:
        self.link.start()
        self.until(lambda: self._subscribed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.link.close()
        self._selector.close()

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:  # noqa: ARG002 - the port's
        """Listen to answers, presence and states."""
        self.link.subscribe([REPLY, "echo/ready", "waspi/v1/+/device/+/presence", "waspi/v1/+/device/+/status/+"])

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:  # noqa: ARG002 - the port's
        """Give up: over a broken link there is nothing to measure."""
        raise reason

    def on_message(self, message: Incoming) -> None:
        """Count an answer, keep anything else."""
        self.link.acknowledge(message)
        if message.topic == REPLY:
            self.answers += 1
            self.last = message.payload
        else:
            self.seen.append(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:  # noqa: ARG002 - the port's
        """A request that the broker refuses would never be answered."""
        if refused is not None:
            raise refused

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Ready to go."""
        if refused is not None:
            raise refused
        self._subscribed = True

    def until(self, holds: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        """Run the loop until something holds; raises ``TimeoutError``."""
        end = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing came of it within {within_s:.0f} s")
            for key, _ in self._selector.select(1):
                key.data()
            self.link.tick(time.monotonic())
            self.link.flush()

    def until_ready(self, responder: Responder) -> None:
        """Wait for the responder's word that it is there, and forget it."""

        def says_so(message: Incoming) -> bool:
            return message.topic == responder.ready_topic and b"offline" not in message.payload

        self.until(lambda: any(map(says_so, self.seen)))
        self.seen = [message for message in self.seen if not says_so(message)]

    def ask(self, responder: Responder) -> int:
        """Publish a request; returns its number."""
        self._number += 1
        correlation = self._number.to_bytes(4, "big")
        body = responder.body(self._number)
        self.link.publish(Outgoing(responder.topic, body, reply_to=REPLY, correlation=correlation))
        return self._number

    def round_trip_us(self, responder: Responder) -> float:
        """Microseconds from the publish of a request to its answer, with nothing else under way."""
        target = self.answers + 1
        begin = time.perf_counter()
        self.ask(responder)
        self.link.flush()
        self.until(lambda: self.answers >= target)
        taken = (time.perf_counter() - begin) * 1e6
        if OUTPUT not in self.last and self.last != INPUT:
            raise RuntimeError(f"no right answer: {self.last!r}")
        return taken

    def per_second(self, responder: Responder, total: int, window: int) -> float:
        """Answers in a second when ``window`` requests are always under way."""
        start = self.answers
        sent = 0
        begin = time.perf_counter()
        while self.answers - start < total:
            while sent < total and sent - (self.answers - start) < window and self.link.room > 0:
                self.ask(responder)
                sent += 1
            self.link.flush()
            seen = self.answers
            self.until(lambda seen=seen: self.answers > seen)  # type: ignore[misc]  # mypy infers no default's type
        return total / (time.perf_counter() - begin)
