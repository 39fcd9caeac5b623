"""What comes in: messages of the broker, read and told apart."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waspi.errors import EnvelopeError, TopicError
from waspi.fleet.event import EventKind, FleetEvent
from waspi.model.result import Result
from waspi.protocol.chunk import Assembler
from waspi.protocol.reply import decode_reply
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.status import decode_status
from waspi.protocol.sync import SyncReport, decode_sync_report
from waspi.protocol.topics import Route, RouteKind, Topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.fleet.registry import Registry
    from waspi.fleet.reply_path import ReplyPath
    from waspi.mqtt.message import Incoming

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole result."""

    result: Result
    correlation: bytes | None
    """Correlation Data of the request, as the device gave it back."""
    private: bool
    """Whether it came on this client's reply topic, where anybody might write, rather than on the device's own."""


@dataclass(frozen=True, slots=True)
class ProbeBack:
    """A probe of this client came back."""

    nonce: bytes


Mail = Answer | ProbeBack | SyncReport | FleetEvent


class Mailbox:
    """Reads messages; what cannot be read is logged and dropped, since nobody waits for it."""

    def __init__(self, topics: Topics, path: ReplyPath, registry: Registry, now: Callable[[], float]) -> None:
        self._topics = topics
        self._path = path
        self._registry = registry
        self._now = now
        self._assembler = Assembler()

    def read(self, message: Incoming) -> Mail | None:
        """Give what ``message`` says, or ``None`` when it says nothing (yet)."""
        try:
            if message.topic == self._path.probe:
                return ProbeBack(message.payload)
            if message.topic == self._path.results:
                return self._answer(message, None)
            if message.topic == self._path.sync:
                return decode_sync_report(message.payload)
            return self._of_fleet(message, self._topics.parse(message.topic))
        except (EnvelopeError, TopicError) as error:
            log.warning("dropped a message on %s: %s", message.topic, error.message)
            return None

    def _of_fleet(self, message: Incoming, route: Route) -> Mail | None:
        device = route.device
        if route.kind is RouteKind.RESULT:
            return self._answer(message, device)
        if route.kind is RouteKind.SYNC:
            report = decode_sync_report(message.payload)
            return report if report.device == device else None
        if route.kind is RouteKind.STATUS:
            status = decode_status(message.payload)
            return FleetEvent(EventKind.STATUS, self._registry.get(device), self._now(), status=status)
        if route.kind is RouteKind.PRESENCE and self._registry.presence(device, message.payload):
            return FleetEvent(EventKind.PRESENCE, self._registry.get(device), self._now())
        if route.kind is RouteKind.REPORTED and self._registry.reported(device, message.payload):
            return FleetEvent(EventKind.REPORTED, self._registry.get(device), self._now())
        return None

    def _answer(self, message: Incoming, device: str | None) -> Answer | None:
        reply = decode_reply(message.payload)
        if device is not None and reply.device != device:
            raise EnvelopeError(f"it says that it is of device {reply.device}")
        if not isinstance(reply, Result):
            whole = self._assembler.add(reply)
            if whole is None:
                return None
            result = decode_result(whole)
            if (result.id, result.device) != (reply.id, reply.device):
                raise EnvelopeError(f"chunks of job {reply.id} hold a result of job {result.id}")
            reply = result
        return Answer(reply, message.correlation, private=device is None)
