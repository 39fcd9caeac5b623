"""A ``selectors`` loop on a thread of its own, for a link that the caller does not want to drive."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from waspi.errors import OperatorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.mqtt.link import Link

_LONGEST_SLEEP_S = 60.0


class LoopThread:
    """Runs a link and what other threads hand over, one after the other, on one daemon thread."""

    def __init__(self, name: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.link: Link | None = None
        self._actions: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self.on_end: Callable[[BaseException | None], None] = lambda _: None
        """Called on the loop's thread as its last act, with what ended it."""
        self._crash: BaseException | None = None
        # Until the loop stops its descriptor is open; after that the number may be another's, whom a write would reach.
        self._guard = threading.Lock()
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.selector.register(self._wake, selectors.EVENT_READ, self._on_wake)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; :attr:`link` must be set."""
        self._thread.start()

    def call(self, action: Callable[[], None]) -> None:
        """Have ``action`` called on the loop's thread, soon, in the order of the calls. Thread-safe.

        Raises :class:`UsageError` when the loop has been closed.
        """
        with self._guard:
            if self._stopping:
                raise UsageError("the client is closed; make a new one") from self._crash
            self._actions.append(action)
            if threading.current_thread() is not self._thread:
                os.eventfd_write(self._wake, 1)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` called after ``delay_s`` seconds; only from the loop's own thread."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._timer_numbers), action))

    @property
    def inside(self) -> bool:
        """Whether the caller is on the loop's thread, where nothing may wait for the loop."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Do what was handed over, end the link in order, and wait for the thread. Idempotent."""
        with self._guard:
            if self._stopping:
                return
            self._stopping = True
            if self._thread.ident is not None:
                os.eventfd_write(self._wake, 1)
        if self._thread.ident is None:
            self._tear_down()
        elif not self.inside:
            self._thread.join()

    def _on_wake(self) -> None:
        os.eventfd_read(self._wake)

    def _run(self) -> None:
        link = self.link
        if link is None:
            raise OperatorError("the loop has no link")
        try:
            while True:
                while self._actions:
                    self._actions.popleft()()
                now = time.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    heapq.heappop(self._timers)[2]()
                link.tick(now)
                link.flush()
                stopping = self._stopping  # before the look at the actions: what came before it is done
                if not self._actions:
                    if stopping:
                        return
                    self._wait(link)
        except BaseException as error:
            self._crash = error
            raise
        finally:
            with self._guard:
                self._stopping = True
            self._tear_down()

    def _tear_down(self) -> None:
        if self.link is not None:
            self.link.close()
        self.on_end(self._crash)
        self.selector.close()
        with self._guard:
            os.close(self._wake)

    def _wait(self, link: Link) -> None:
        due = link.next_deadline()
        wake_at = time.monotonic() + _LONGEST_SLEEP_S if due is None else due
        if self._timers:
            wake_at = min(wake_at, self._timers[0][0])
        timeout = min(_LONGEST_SLEEP_S, max(0.0, wake_at - time.monotonic()))
        for key, _ in self.selector.select(timeout):
            key.data()
