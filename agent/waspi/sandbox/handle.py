"""The parent's hold on one child: its state, its deadline, and what it may say when."""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from waspi.errors import WorkerError
from waspi.sandbox import frame
from waspi.sandbox.answer import one_line
from waspi.sandbox.channel import Channel
from waspi.sandbox.child import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from selectors import BaseSelector

log = logging.getLogger(__name__)


class ChildState(StrEnum):
    """Where a child is in its life."""

    STARTING = "STARTING"
    """No HELLO yet: it is not known to be locked down."""
    IDLE = "IDLE"
    BUSY = "BUSY"
    """It has a request and owes an answer."""
    LEAVING = "LEAVING"
    """Its socket is shut; it goes by itself."""
    DYING = "DYING"
    """Killed, not yet reaped."""
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

    def came_up(self, handle: ChildHandle) -> None:
        """It said HELLO: it is locked down and idle."""

    def answered(self, handle: ChildHandle, kind: int, body: memoryview) -> Callable[[], None]:
        """Judge the frame that it owed: return what to do when it is idle again; ``body`` stays valid until then.

        Raise ``WorkerError`` when the frame is no answer: the child is killed.
        """

    def gone(self, handle: ChildHandle) -> None:
        """It has ended and was reaped; ``handle.reason`` says why. If it was busy, no answer came or comes."""


class ChildHandle:
    """One child from its start to its end. Only whole answers to open requests get through to the owner."""

    def __init__(self, selector: BaseSelector, command: tuple[str, ...], owner: Owner, *, start_by: float) -> None:
        """Start ``command``; it has to say HELLO before ``start_by`` (seconds on the owner's clock).

        Raises ``WorkerError`` when there is no process to be had.
        """
        self._owner = owner
        self._child = Child(selector, command, self._exited)
        self._channel = Channel(selector, self._child.sock, self._framed, self._ended, frame.MAX_TABLE)
        self._seq = 0
        self.state = ChildState.STARTING
        self.deadline: float | None = start_by
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
    def undelivered(self) -> bool:
        """Whether its last request certainly never reached it, so that another child may get it (``bool``)."""
        return self._channel.undelivered

    @property
    def posture(self) -> dict[str, str]:
        """What of the lock-down is on, by part."""
        prefix = "posture."
        return {key[len(prefix) :]: value for key, value in self.greeting.items() if key.startswith(prefix)}

    def ask(self, kind: int, body: Iterable[bytes], *, max_answer: int, fd: int | None, deadline: float) -> None:
        """Send a request to an idle child; its answer has at most ``max_answer`` bytes. ``fd`` is closed here."""
        self._become(ChildState.BUSY)
        self._seq += 1
        self.deadline = deadline
        self.overdue = "overran its deadline"
        parts = list(body)
        head = frame.HEADER.pack(frame.MAGIC, kind, self._seq, sum(map(len, parts)))
        self._channel.max_body = max_answer
        # One buffer for what is small: two vectors cost more than copying a name or two.
        self._channel.send((head + parts[0], *parts[1:]), fd)

    def cancel(self, *, deadline: float) -> None:
        """Ask a busy child to stop what it runs; it is killed at ``deadline`` at the latest."""
        if self.state is not ChildState.BUSY:
            return
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)
        self.overdue = "did not stop when asked to"
        try:
            self._child.control.send(frame.pack(frame.CANCEL, self._seq, b""))
        except OSError as error:  # full or gone: the deadline does it
            log.warning("cancel did not reach worker %d: %s", self.pid, error.strerror)

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
        self._channel.close()
        self._child.kill()

    def tick(self, now: float) -> None:
        """Kill it when its deadline has passed."""
        if self.deadline is not None and now >= self.deadline:
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
            self.deadline = None
            self._channel.max_body = 0
            return partial(self._owner.came_up, self)
        if self.state is not ChildState.BUSY or seq != self._seq or kind < frame.HELLO or self._channel.sending:
            raise WorkerError("it answered what it was not asked")
        act = self._owner.answered(self, kind, body)
        self._become(ChildState.IDLE)
        self.deadline = None
        self._channel.max_body = 0
        return act

    def _ended(self, reason: str | None) -> None:
        if self.state is ChildState.LEAVING:
            return
        if reason is None:
            # End of file: it has died, or closed its socket to look as if. Either way it has to be gone.
            self.was_busy = self.state is ChildState.BUSY
            self._become(ChildState.DYING)
            self.deadline = None
            self._child.kill()
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
