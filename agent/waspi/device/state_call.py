"""Calls for the device's state: answered after a wait that each device draws (:mod:`waspi.protocol.state_call`)."""

from __future__ import annotations

import heapq
import logging
from typing import TYPE_CHECKING, Final

from waspi.errors import BrokerError, EnvelopeError, TopicError
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.admission import MAX_CORRELATION
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.state_call import StateAnswer, decode_state_call, encode_state_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.mqtt.link import Link
    from waspi.protocol.policy import Policy

MOST_CALLS: Final = 16
"""Calls that wait for their time; one more is dropped. Who asked asks again."""

_log = logging.getLogger(__name__)


class StateCalls:
    """Answers calls with QoS 0: whoever did not hear asks again, and nothing of it is kept on the disk."""

    def __init__(
        self, policy: Policy, link: Link, state: Callable[[], tuple[bytes, bytes]], clock: Callable[[], float]
    ) -> None:
        """``state`` gives presence and reported state as they are published; ``clock`` is monotonic, in seconds."""
        self._policy = policy
        self._link = link
        self._state = state
        self._clock = clock
        self._waiting: list[tuple[float, str, bytes]] = []
        """When, where to, and the Correlation Data; a heap."""

    def on_call(self, message: Incoming) -> None:
        """Take a call. One that is retained, that names no Response Topic, or that is one too many is dropped."""
        if message.retain or message.reply_to is None or len(self._waiting) >= MOST_CALLS:
            return
        correlation = message.correlation or b""
        try:
            call = decode_state_call(message.payload)
            topic = self._policy.replies.check(message.reply_to)
        except (EnvelopeError, TopicError) as error:
            _log.warning("a call for the state is dropped: %s", error.message)
            return
        delay_s = call.delay_s(self._policy.device, correlation)
        if delay_s is not None and len(correlation) <= MAX_CORRELATION:
            heapq.heappush(self._waiting, (self._clock() + delay_s, topic, correlation))

    def next_deadline(self) -> float | None:
        """When :meth:`tick` wants to be called."""
        return self._waiting[0][0] if self._waiting else None

    def tick(self, now: float) -> None:
        """Answer the calls whose time has come, but those that a slow uplink would leave in memory."""
        while self._waiting and self._waiting[0][0] <= now:
            _, topic, correlation = heapq.heappop(self._waiting)
            if not self._link.online or self._link.blocked:
                continue
            presence, reported = self._state()
            payload = encode_state_answer(StateAnswer(self._policy.device, presence, reported))
            answer = Outgoing(topic, payload, qos=0, correlation=correlation, content_type=CONTENT_TYPE)
            try:
                self._link.publish(answer)
            except BrokerError as error:  # no packet of this broker holds it, perhaps
                _log.warning("an answer to %s is not sent: %s", topic, error.message)
