"""One look at a whole fleet: who is there, asked of the devices themselves.

What the broker has kept is a hint: how many devices there may be, and which are away. A small part of the fleet is
called first, to learn its size where the broker keeps nothing for a wildcard; then everybody, over a time that broker
and client can take; then, by name, whoever should be there and was not heard. Of devices that are away the kept reports
are read by their exact topics.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from waspi.mqtt.message import Outgoing
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.state_call import MAX_ONLY, PARTS, StateAnswer, StateCall, encode_state_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.fleet.client_session import ClientSession
    from waspi.protocol.topics import Topics

ANSWERS_PER_S: Final = 1500
"""Pace of the answers that is asked for: a third of what a client on a slow laptop reads."""
SAMPLE: Final = 50
"""One device of so many is called first."""
SAMPLE_SPREAD_MS: Final = 100
LEAST_SPREAD_MS: Final = 100
LOOK_S: Final = 0.05
"""How often it is looked whether all have answered."""
SETTLE_S: Final = 0.25
"""How long no answer has to have come before a round is over that somebody did not answer in."""
MOST_ROUNDS: Final = 4
SLICE: Final = 200
"""Kept reports that are asked for at once: far below what a broker queues for a client."""


class StateSurvey:
    """Takes place on the loop's thread; ``done`` is called at its end, unless the connection is lost before."""

    def __init__(self, session: ClientSession, topics: Topics, done: Callable[[], None]) -> None:
        self.heard: set[str] = set()
        """Devices that have answered."""
        self._session = session
        self._topics = topics
        self._done = done
        self._rounds = 0
        self._heard_before = 0
        self._quiet_s = 0.0

    def start(self) -> None:
        """Begin."""
        self._session.follow_states()
        self._call(StateCall(SAMPLE_SPREAD_MS, last=PARTS // SAMPLE - 1), self._call_all)

    def on_answer(self, answer: StateAnswer) -> None:
        """Note what a device says."""
        self.heard.add(answer.device)

    def _call_all(self) -> None:
        known = len(self._session.registry.all())
        spread_ms = self._spread_ms(max(known, len(self.heard) * SAMPLE))
        self._call(StateCall(spread_ms), self._check)

    def _check(self) -> None:
        silent = sorted(self._silent())
        self._rounds += 1
        if not silent or self._rounds >= MOST_ROUNDS:
            self._read_kept(self._lacking())
        elif len(silent) <= MAX_ONLY:
            self._call(StateCall(self._spread_ms(len(silent)), only=tuple(silent)), self._check)
        else:  # they are many: they may have come too fast
            self._call(StateCall(self._spread_ms(len(silent)) * 2**self._rounds), self._check)

    def _call(self, call: StateCall, then: Callable[[], None]) -> None:
        """Publish a call; goes on when all have answered, or when its time is over and no more answers come."""
        correlation = secrets.token_bytes(16)
        self._session.calls[correlation] = self
        spread_s = call.spread_ms / 1000

        def look() -> None:
            if self._session.calls.get(correlation) is not self:
                return  # the connection is lost
            came = len(self.heard) > self._heard_before
            self._heard_before = len(self.heard)
            self._quiet_s = 0.0 if came else self._quiet_s + LOOK_S
            if self._quiet_s >= SETTLE_S or not (came or self._silent()):
                then()
            else:
                self._session.loop.call_later(LOOK_S, look)

        def taken(_: object) -> None:
            self._quiet_s = 0.0
            self._session.loop.call_later(spread_s + LOOK_S, look)

        message = Outgoing(
            self._topics.state_call,
            encode_state_call(call),
            reply_to=self._session.reply_folder,
            correlation=correlation,
            expires_in_s=int(spread_s) + 5,  # nobody who comes later shall answer
            content_type=CONTENT_TYPE,
        )
        self._session.publish(message, taken)

    def _silent(self) -> set[str]:
        """Devices that are online as far as the broker knows, and did not answer."""
        return {view.id for view in self._session.registry.all().values() if view.online} - self.heard

    def _lacking(self) -> list[str]:
        """Devices whose own answer is not to be had, and of which no report is known."""
        views = self._session.registry.all().values()
        return [view.id for view in views if view.id not in self.heard and view.reported is None]

    def _read_kept(self, devices: list[str]) -> None:
        if not devices:
            self._session.calls.clear()
            self._done()
            return
        topics = [self._topics.reported(device) for device in devices[:SLICE]]
        self._session.peek(topics, lambda: self._read_kept(devices[SLICE:]))

    @staticmethod
    def _spread_ms(devices: int) -> int:
        return max(LEAST_SPREAD_MS, 1000 * devices // ANSWERS_PER_S)
