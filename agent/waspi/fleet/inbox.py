"""What comes in: messages of the broker, read, told apart, and checked against the topic that they came on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waspi.errors import EnvelopeError, TopicError
from waspi.fleet.event import EventKind, FleetEvent
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.protocol import field
from waspi.protocol.chunk import Assembler
from waspi.protocol.reply import decode_reply
from waspi.protocol.result_envelope import CONTENT_TYPE, decode_result
from waspi.protocol.state_call import StateAnswer, decode_state_answer
from waspi.protocol.status import StatusChange, decode_status
from waspi.protocol.sync import SyncReport, decode_sync_report
from waspi.protocol.topics import Route, RouteKind, Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from waspi.fleet.registry import Registry
    from waspi.fleet.reply_path import ReplyPath
    from waspi.mqtt.message import Incoming

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole result, of the device that its topic belongs to."""

    result: Result
    correlation: bytes | None
    """Correlation Data of the request, as the device gave it back."""
    private: bool
    """Whether it came on this client's reply topic rather than on the device's own."""


@dataclass(frozen=True, slots=True)
class ProbeBack:
    """A probe of this client came back."""

    nonce: bytes


Heard = Answer | ProbeBack | SyncReport | StateAnswer | FleetEvent


class Inbox:
    """Reads messages; what cannot be read is logged and dropped, since nobody waits for it."""

    def __init__(
        self,
        topics: Topics,
        path: ReplyPath,
        registry: Registry,
        now: Callable[[], float],
        queries: Container[bytes],
        calls: Container[bytes],
    ) -> None:
        """``queries`` and ``calls`` hold the Correlation Data of sync queries and of calls for states.

        What is no answer to one of them is no report and no state.
        """
        self._queries = queries
        self._calls = calls
        self._topics = topics
        self._path = path
        self._registry = registry
        self._now = now
        self._assembler = Assembler()

    def read(self, message: Incoming) -> Heard | None:
        """Give what ``message`` says, or ``None`` when it says nothing (yet)."""
        try:
            if message.topic == self._path.probe:
                return ProbeBack(message.payload)
            device = self._path.device_of(message.topic)
            if device is None:
                return self._of_fleet(message, self._topics.parse(message.topic))
            if message.correlation in self._queries:
                return self._sync(message, device)
            if message.correlation in self._calls:
                return self._state(message, device)
            return self._answer(message, device, private=True)
        except (EnvelopeError, TopicError) as error:
            log.warning("dropped a message on %s: %s", message.topic, error.message)
            return None

    def _of_fleet(self, message: Incoming, route: Route) -> Heard | None:
        device = route.device
        if route.kind in (RouteKind.RESULT, RouteKind.ERROR):
            return self._result(message, route)
        if route.kind is RouteKind.SYNC:
            return self._sync(message, device)
        if route.kind is RouteKind.STATUS:
            status = decode_status(message.payload)
            if (status.device, status.id) != (device, route.item):
                raise EnvelopeError(f"it says that it is of job {status.id} on {status.device}")
            return FleetEvent(EventKind.STATUS, self._registry.get(device), self._now(), status=status)
        if route.kind is RouteKind.PRESENCE and self._registry.presence(device, message.payload):
            return FleetEvent(EventKind.PRESENCE, self._registry.get(device), self._now())
        if route.kind is RouteKind.REPORTED and self._registry.reported(device, message.payload):
            return FleetEvent(EventKind.REPORTED, self._registry.get(device), self._now())
        return None

    def _result(self, message: Incoming, route: Route) -> Answer | FleetEvent | None:
        if route.kind is RouteKind.ERROR or message.content_type != CONTENT_TYPE:
            return self._plain(message, route)
        answer = self._answer(message, route.device, private=False)
        if answer is not None and answer.result.id != route.item:
            raise EnvelopeError(f"it says that it is of job {answer.result.id}")
        return answer

    def _plain(self, message: Incoming, route: Route) -> FleetEvent:
        """A plain request's answer: raw bytes, which are looked at by nobody but who asked; its state is a property."""
        properties = dict(message.user_properties)
        state = field.member(properties.get("state"), "plain answer: user property 'state'", list(JobState))
        now = self._now()
        status = StatusChange(route.item, route.device, JobState(state), 1, int(now * 1000))
        return FleetEvent(EventKind.STATUS, self._registry.get(route.device), now, status=status)

    def _sync(self, message: Incoming, device: str) -> SyncReport:
        report = decode_sync_report(message.payload)
        if report.device != device:
            raise EnvelopeError(f"it says that it is of device {report.device}")
        return report

    def _state(self, message: Incoming, device: str) -> StateAnswer:
        answer = decode_state_answer(message.payload)
        if answer.device != device:
            raise EnvelopeError(f"it says that it is of device {answer.device}")
        return answer

    def _answer(self, message: Incoming, device: str, *, private: bool) -> Answer | None:
        if message.content_type != CONTENT_TYPE:
            raise EnvelopeError(f"its Content Type is {message.content_type!r}, not {CONTENT_TYPE}")
        reply = decode_reply(message.payload)
        if reply.device != device:
            raise EnvelopeError(f"it says that it is of device {reply.device}")
        if not isinstance(reply, Result):
            whole = self._assembler.add(reply)
            if whole is None:
                return None
            result = decode_result(whole)
            if (result.id, result.device) != (reply.id, reply.device):
                raise EnvelopeError(f"chunks of job {reply.id} hold a result of job {result.id}")
            reply = result
        return Answer(reply, message.correlation, private)
