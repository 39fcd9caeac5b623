"""What a broker can do, found by trying: the broker contract of docs/PROTOCOL.md as a list of trials.

Each trial takes about a second and publishes below one topic, which nobody else uses and which expires: it disturbs no
device and no client. What CONNACK promises is not believed: RabbitMQ grants shared subscriptions and delivers nothing.
"""

from __future__ import annotations

import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Self

from waspi.errors import BrokerError, NoAnswerError, UnheardError, UnreachableBrokerError
from waspi.mqtt.link import Link, LinkState
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings, Will

if TYPE_CHECKING:
    from types import TracebackType

CONNECT_S = 10.0
WAIT_S = 2.0
"""Seconds after which what a broker has not delivered is taken for lost."""
WEEK_S = 7 * 24 * 3600
"""For how long a device asks for its session by default."""
_AWAY_S = 60
_EXPIRY_S = 30


class Need(Enum):
    """What waspi does without it."""

    NEEDED = "needed"
    LIKED = "liked"


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that a broker should do.

    ``follows``: what follows for a fleet when it does not, and what to do about it.
    """

    name: str
    need: Need
    follows: str
    run: Callable[[LinkSettings, str], str | None]
    """Called with the settings of a client and a topic of its own; why it failed, ``None`` if it did not."""


class Visitor:
    """A client that does one step at a time, on the thread that asks; a context manager that connects."""

    def __init__(self, settings: LinkSettings) -> None:
        self.messages: list[Incoming] = []
        self.session_present = False
        self.server = ServerLimits()
        self._selector = selectors.DefaultSelector()
        self._link = Link(settings, self._selector, self, time.monotonic)
        self._answers: dict[int, BrokerError | None] = {}
        self._subscriptions: list[BrokerError | None] = []
        self._lost: BrokerError | None = None

    def __enter__(self) -> Self:
        """Raises the ``BrokerError`` of the first attempt."""
        self._link.start()
        try:
            if not self._until(lambda: self._link.online, CONNECT_S + 5):
                raise NoAnswerError("the broker did not answer")
        except BrokerError:
            self.leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Disconnect in order. Idempotent."""
        if self._link.state is not LinkState.CLOSED:
            self._link.close()
            self._selector.close()

    def vanish(self) -> None:
        """Close the socket without a word, as a board does that loses its power."""
        self._link.drop(UnreachableBrokerError("the connection was cut for a trial"))
        self.leave()

    def subscribe(self, topic: str) -> None:
        """Raises ``BrokerError`` when the broker refuses or stays silent."""
        before = len(self._subscriptions)
        self._link.subscribe([topic])
        if not self._until(lambda: len(self._subscriptions) > before, WAIT_S):
            raise NoAnswerError(f"the broker did not answer to the subscription to {topic}")
        refused = self._subscriptions[-1]
        if refused is not None:
            raise refused

    def publish(self, message: Outgoing) -> bool:
        """Publish and wait for the broker's answer; whether somebody heard it. Raises ``BrokerError`` when refused."""
        token = self._link.publish(message)
        if not self._until(lambda: token in self._answers, WAIT_S):
            raise NoAnswerError(f"the broker did not answer to a message to {message.topic}")
        refused = self._answers.pop(token)
        if isinstance(refused, UnheardError):
            return False
        if refused is not None:
            raise refused
        return True

    def hear(self, topic: str, within_s: float = WAIT_S) -> Incoming | None:
        """Wait for a message on ``topic`` and take it."""
        self._until(lambda: any(each.topic == topic for each in self.messages), within_s)
        found = next((each for each in self.messages if each.topic == topic), None)
        if found is not None:
            self.messages.remove(found)
        return found

    def _until(self, holds: Callable[[], bool], within_s: float) -> bool:
        end = time.monotonic() + within_s
        while not holds():
            if self._lost is not None:
                raise self._lost
            now = time.monotonic()
            if now >= end:
                return False
            self._link.flush()
            due = self._link.next_deadline()
            for key, _ in self._selector.select(max(0.0, min(end, end if due is None else due) - now)):
                key.data()
            self._link.tick(time.monotonic())
        return True

    # --- LinkHandler ------------------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Note what the broker grants."""
        self.session_present = session_present
        self.server = limits

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Note why."""
        del retry_in_s
        self._lost = reason

    def on_message(self, message: Incoming) -> None:
        """Keep and acknowledge it."""
        self.messages.append(message)
        self._link.acknowledge(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Note the answer."""
        self._answers[token] = refused

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Note the answer."""
        self._subscriptions.append(refused)


def settings_for(plain: LinkSettings, session_s: int = 0, will: Will | None = None) -> LinkSettings:
    """The settings of one more client: a name of its own, a session of ``session_s`` seconds."""
    name = f"doctor-{secrets.token_hex(6)}"
    return replace(plain, client_id=name, session_expiry_s=session_s, will=will, connect_timeout_s=CONNECT_S)


def _outgoing(topic: str, payload: bytes = b"x", *, retain: bool = False) -> Outgoing:
    return Outgoing(topic, payload, retain=retain, expires_in_s=_EXPIRY_S)


def _properties(settings: LinkSettings, topic: str) -> str | None:
    sent = Outgoing(
        topic,
        b"\x00\xff",
        reply_to=f"{topic}/reply",
        correlation=b"\x00\x01",
        expires_in_s=_EXPIRY_S,
        content_type="application/cbor",
        user_properties=(("a", "1"), ("a", "2")),
    )
    with Visitor(settings_for(settings)) as client:
        client.subscribe(topic)
        client.publish(sent)
        got = client.hear(topic)
    if got is None:
        return "a message to a subscriber's topic did not arrive"
    for name in ("payload", "qos", "reply_to", "correlation", "content_type", "user_properties"):
        if getattr(got, name) != getattr(sent, name):
            return f"{name} {getattr(sent, name)!r} arrived as {getattr(got, name)!r}"
    return None if got.expires_in_s is not None else "the expiry was left out"


def _session(settings: LinkSettings, topic: str) -> str | None:
    away = settings_for(settings, _AWAY_S)
    with Visitor(away) as client:
        client.subscribe(topic)
    with Visitor(settings_for(settings)) as other:
        other.publish(_outgoing(topic))
    with Visitor(replace(away, session_expiry_s=0)) as client:
        if not client.session_present:
            return "the session was gone when its client came back"
        return None if client.hear(topic) else "a message for a client that was away did not arrive"


def _long_session(settings: LinkSettings, topic: str) -> str | None:
    del topic
    asked = settings_for(settings, WEEK_S)
    with Visitor(asked) as client:
        granted = client.server.session_expiry_s
    with Visitor(replace(asked, session_expiry_s=0, clean_start=True)):
        pass  # the long session is not left behind
    if granted is None or granted >= asked.session_expiry_s:
        return None
    return f"it keeps one for {granted} s, not for {asked.session_expiry_s}"


def _will(settings: LinkSettings, topic: str) -> str | None:
    with Visitor(settings_for(settings)) as observer:
        observer.subscribe(topic)
        mortal = Visitor(settings_for(settings, _AWAY_S, Will(topic, b"gone", retain=False, delay_s=0)))
        with mortal:
            mortal.vanish()
        return None if observer.hear(topic) else "the will of a client that vanished was not published"


def _retained_will(settings: LinkSettings, topic: str) -> str | None:
    with Visitor(settings_for(settings)) as observer:
        observer.subscribe(topic)
        mortal = Visitor(settings_for(settings, _AWAY_S, Will(topic, b"gone", retain=True, delay_s=1)))
        with mortal:
            mortal.vanish()
        if observer.hear(topic, 1 + WAIT_S) is None:
            return "a will that was to wait for a second was not published"
        with Visitor(settings_for(settings)) as late:
            late.subscribe(topic)
            kept = late.hear(topic, WAIT_S / 2)
        observer.publish(Outgoing(topic, b"", retain=True))
    return None if kept else "it was published and not retained"


def _retained(settings: LinkSettings, topic: str, by: str) -> str | None:
    with Visitor(settings_for(settings)) as client:
        client.publish(_outgoing(topic, retain=True))
        client.subscribe(by)
        got = client.hear(topic)
        client.publish(Outgoing(topic, b"", retain=True))
    if got is None:
        return "nothing came"
    return None if got.retain else "it came without the flag that says so"


def _as_published(settings: LinkSettings, topic: str) -> str | None:
    with Visitor(settings_for(settings)) as client:
        client.subscribe(topic)
        client.publish(_outgoing(topic, retain=True))
        got = client.hear(topic)
        client.publish(Outgoing(topic, b"", retain=True))
    if got is None:
        return "nothing came"
    return None if got.retain else "a retained message came live without its flag"


def _unheard(settings: LinkSettings, topic: str) -> str | None:
    with Visitor(settings_for(settings)) as client:
        return "the broker says that somebody heard it" if client.publish(_outgoing(topic)) else None


TRIALS = (
    Trial("properties", Need.NEEDED, "jobs and results would lose their way back: use another broker", _properties),
    Trial("session", Need.NEEDED, "jobs for a device that is away would be lost: let it keep sessions", _session),
    Trial(
        "long sessions",
        Need.LIKED,
        "what is sent to a device that is away for longer is lost: raise the broker's limit",
        _long_session,
    ),
    Trial("will", Need.NEEDED, "a device that loses its power would be shown as online: use another broker", _will),
    Trial(
        "retained",
        Need.NEEDED,
        "who connects later would not see a device's state: let it retain messages",
        lambda settings, topic: _retained(settings, topic, topic),
    ),
    Trial(
        "retained by wildcard",
        Need.LIKED,
        "devices and depots are found by asking them, not by what the broker remembers",
        lambda settings, topic: _retained(settings, f"{topic}/one", f"{topic}/+"),
    ),
    Trial(
        "retain as published",
        Need.LIKED,
        "a job that is published with the retain flag runs, once, where it would be refused: publish none",
        _as_published,
    ),
    Trial(
        "retained will after a delay",
        Need.LIKED,
        "who connects later sees a lost device as online: set broker.will_delay_s = 0 on the devices",
        _retained_will,
    ),
    Trial(
        "no matching subscribers",
        Need.LIKED,
        "a job for a device that never connected waits for its timeout, where it would be refused at once",
        _unheard,
    ),
)
