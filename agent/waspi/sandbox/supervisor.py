"""The agent's side of one child: its state, its deadline, and what it may say when."""

from __future__ import annotations

import logging
import signal
from collections import deque
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from waspi.errors import WorkerError
from waspi.sandbox import frame
from waspi.sandbox.channel import Channel
from waspi.sandbox.child import Child
from waspi.sandbox.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

log = logging.getLogger(__name__)

_END_S: Final = 0.5
"""Seconds that a child has to end once its socket is closed."""


class ChildState(StrEnum):
    """Where a child is in its life."""

    STARTING = "STARTING"
    """No HELLO yet: it is not known to be locked down."""
    IDLE = "IDLE"
    BUSY = "BUSY"
    """It has one request or several and owes as many answers."""
    LEAVING = "LEAVING"
    """Its socket is shut; it goes by itself."""
    DYING = "DYING"
    """Killed, or at the end of its socket; not yet reaped."""
    GONE = "GONE"


TRANSITIONS: Final[dict[ChildState, frozenset[ChildState]]] = {
    ChildState.STARTING: frozenset({ChildState.IDLE, ChildState.DYING, ChildState.GONE}),
    ChildState.IDLE: frozenset({ChildState.BUSY, ChildState.LEAVING, ChildState.DYING, ChildState.GONE}),
    ChildState.BUSY: frozenset({ChildState.IDLE, ChildState.DYING, ChildState.GONE}),
    ChildState.LEAVING: frozenset({ChildState.DYING, ChildState.GONE}),
    ChildState.DYING: frozenset({ChildState.GONE}),
    ChildState.GONE: frozenset(),
}


class Owner(Protocol):
    """Who hears of a child."""

    def came_up(self, child: Supervisor) -> None:
        """It said HELLO: it is locked down and idle."""

    def answered(self, child: Supervisor, kind: int, body: memoryview) -> Callable[[], None]:
        """Judge the frame that it owed: return what to do when it is idle again; ``body`` stays valid until then.

        Raise ``WorkerError`` when the frame is no answer: the child is killed.
        """

    def gone(self, child: Supervisor) -> None:
        """It has ended and was reaped; ``child.reason`` says why. If it was busy, no answer came or comes."""


class _Request:
    """A request that is not answered."""

    __slots__ = ("max_answer", "seq", "within_s")

    def __init__(self, seq: int, max_answer: int, within_s: float) -> None:
        self.seq = seq
        self.max_answer = max_answer
        self.within_s = within_s


class Supervisor:
    """One child from its start to its end. Only whole answers to open requests get through to the owner.

    A child takes its requests in order and answers each before it begins the next one.
    """

    def __init__(
        self,
        selector: BaseSelector,
        command: tuple[str, ...],
        owner: Owner,
        clock: Callable[[], float],
        *,
        start_s: float,
    ) -> None:
        """Start ``command``; it has to say HELLO within ``start_s`` seconds on ``clock``.

        Raises ``WorkerError`` when there is no process to be had.
        """
        self._clock = clock
        self._owner = owner
        self._child = Child(selector, command, self._exited)
        self._channel = Channel(selector, self._child.sock, self._framed, self._ended, frame.MAX_TABLE)
        self._seq = 0
        self._requests: deque[_Request] = deque()
        self.state = ChildState.STARTING
        self.deadline: float | None = clock() + start_s
        """When it is killed unless it does what it has to do."""
        self.overdue = "did not come up in time"
        """What to say when the deadline kills it."""
        self.greeting: dict[str, str] = {}
        """What it said in its HELLO: engine, fingerprint and, under ``posture.<part>``, its posture."""
        self.was_busy = False
        """Whether it ended while it owed an answer."""
        self.started = False
        """Whether it came up at all."""
        self.timed_out = False
        """Whether its deadline killed it."""
        self._reason = ""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def reason(self) -> str:
        """Why it is gone, to follow the words "the worker" (``str``)."""
        if not self._reason:
            return self._child.diagnosis()
        return f"{self._reason} ({self._child.words})" if self._child.words else self._reason

    @property
    def was_starved(self) -> bool:
        """Whether it ended for want of memory: killed by the kernel, or by its own allocator (``bool``)."""
        killed = self._child.status == -signal.SIGKILL and not self._reason
        return killed or "memory allocation of" in self._child.words or self._child.words.startswith("MemoryError")

    @property
    def undelivered(self) -> bool:
        """Whether its last request certainly never reached it, so that another child may get it (``bool``)."""
        return self._channel.undelivered

    @property
    def posture(self) -> dict[str, str]:
        """What of the lock-down is on, by part."""
        prefix = "posture."
        return {key[len(prefix) :]: value for key, value in self.greeting.items() if key.startswith(prefix)}

    def ask(self, kind: int, body: tuple[bytes, ...], *, max_answer: int, fd: int | None, within_s: float) -> None:
        """Send a request; its answer has at most ``max_answer`` bytes. ``fd`` is closed here.

        To a busy child it goes with the next :meth:`flush`, and without an ``fd``. The child is killed when it has not
        answered ``within_s`` seconds after it could begin.
        """
        self._seq += 1
        head = frame.HEADER.pack(frame.MAGIC, kind, self._seq, sum(map(len, body)))
        # One buffer for what is small: two vectors cost more than copying a name or two.
        parts = (head + body[0], *body[1:])
        if self._requests:
            self._requests.append(_Request(self._seq, max_answer, within_s))
            self._channel.hold(parts)
            return
        self._become(ChildState.BUSY)
        self._requests.append(_Request(self._seq, max_answer, within_s))
        self._next_is_due()
        self._channel.send(parts, fd)

    def flush(self) -> None:
        """Send the requests that wait behind others."""
        if self._channel.sending and self._channel.open:
            self._channel.flush()

    def _next_is_due(self) -> None:
        """The request at the head may be begun from now on; without one nothing is expected."""
        if self._requests:
            head = self._requests[0]
            self.deadline = self._clock() + head.within_s
            self.overdue = "overran its deadline"
            self._channel.max_body = head.max_answer
        else:
            self.deadline = None
            self._channel.max_body = -1

    def cancel(self, place: int, *, within_s: float) -> None:
        """Ask a busy child to stop, or not to begin, its request at ``place``, 0 for the one at the head.

        It is killed when it has not answered it ``within_s`` seconds from now, or from when it could begin.
        """
        if self.state is not ChildState.BUSY:
            return
        request = self._requests[place]
        if place:
            request.within_s = min(request.within_s, within_s)
        else:
            deadline = self._clock() + within_s
            self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)
            self.overdue = "did not stop when asked to"
        try:
            self._child.control.send(frame.pack(frame.CANCEL, request.seq, b""))
        except OSError as error:  # full or gone: the deadline does it
            log.warning("worker %d cannot be told to stop: %s", self.pid, error.strerror)

    def leave(self, *, deadline: float) -> None:
        """Let an idle child go: its end of file is its notice. It is killed at ``deadline``."""
        self._become(ChildState.LEAVING)
        self._channel.close()
        self.deadline = deadline
        self.overdue = "did not leave"

    def kill(self, reason: str) -> None:
        """End it; ``gone`` follows when the kernel has done it."""
        if self.state in {ChildState.DYING, ChildState.GONE}:
            return
        self.was_busy = self.state is ChildState.BUSY
        self._reason = reason
        self._become(ChildState.DYING)
        self.deadline = None
        self._channel.mute()
        self._child.kill()

    def tick(self, now: float) -> None:
        """Kill it when its deadline has passed."""
        if self.deadline is None or now < self.deadline:
            return
        if self.state is ChildState.DYING:
            self._reason = "closed its socket and stayed"
            self.deadline = None
            self._child.kill()
        else:
            self.timed_out = True
            self.kill(self.overdue)

    def close(self) -> None:
        """Kill it and wait until it is gone; nothing is called back."""
        if self.state is not ChildState.GONE:
            self.state = ChildState.GONE
            self._channel.close()
            self._child.kill()
            self._child.reap()

    def _become(self, state: ChildState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise WorkerError(
                f"a worker that is {self.state} cannot become {state}; this is a fault in waspi, report it"
            )
        self.state = state

    def _framed(self, kind: int, seq: int, body: memoryview) -> Callable[[], None]:
        if self.state is ChildState.STARTING and kind == frame.HELLO:
            try:
                greeting = frame.unpack_table(bytes(body))
            except ValueError as error:
                raise WorkerError("its greeting is none") from error
            self.greeting = {one_line(key.encode()): one_line(value.encode()) for key, value in greeting.items()}
            self._become(ChildState.IDLE)
            self.started = True
            self._next_is_due()
            return partial(self._owner.came_up, self)
        requests = self._requests
        if (
            self.state is not ChildState.BUSY
            or seq != requests[0].seq
            or kind < frame.HELLO
            or (len(requests) == 1 and self._channel.sending)
        ):
            raise WorkerError("it answered what it was not asked")
        act = self._owner.answered(self, kind, body)
        requests.popleft()
        if not requests:
            self._become(ChildState.IDLE)
        self._next_is_due()
        return act

    def _ended(self, reason: str | None) -> None:
        if self.state is ChildState.LEAVING:
            return
        if reason is None:
            # End of file: it dies, or has closed its socket to look as if. How it ended is told once it is gone.
            self.was_busy = self.state is ChildState.BUSY
            self._become(ChildState.DYING)
            self.deadline = self._clock() + _END_S
        else:
            self.kill(f"answered with garbage: {reason}")

    def _exited(self) -> None:
        # The kernel may tell of the end before the last answer was read: that answer still counts.
        self._channel.drain()
        self.was_busy = self.was_busy or self.state is ChildState.BUSY
        self._channel.close()
        self._become(ChildState.GONE)
        self.deadline = None
        self._owner.gone(self)
