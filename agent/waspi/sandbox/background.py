"""Work that waits for a disk, away from the loop's thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from selectors import EVENT_READ
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

T = TypeVar("T")


class Background:
    """One thread, which does its work in order; what came of it is told on the loop's thread.

    The thread is there only while there is work, and so is the descriptor at the selector.
    """

    def __init__(self, selector: BaseSelector) -> None:
        self._selector = selector
        self._lock = threading.Lock()
        self._work: deque[Callable[[], Callable[[], None]]] = deque()
        self._done: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._running = False
        """Whether the thread will look at the work again; guarded by the lock."""
        self._open = 0
        self._event = -1

    def do(self, work: Callable[[], T], then: Callable[[T | None, Exception | None], None]) -> None:
        """Call ``work`` on the thread, then ``then`` from a callback of the selector: with its result, or its error."""

        def worked() -> Callable[[], None]:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - it goes to whoever asked for the work
                failed = error
                return lambda: then(None, failed)
            return lambda: then(result, None)

        if not self._open:
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._selector.register(self._event, EVENT_READ, data=self._tell)
        self._open += 1
        with self._lock:
            self._work.append(worked)
            if self._running:
                return
            self._running = True
        self._thread = threading.Thread(target=self._run, name="waspi-disk", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left: then the loop has to wait for the disk
            self._thread = None
            self._run()

    def close(self) -> None:
        """Wait for what is under way, forget the rest; nothing is called back."""
        with self._lock:
            self._work.clear()
        if self._thread is not None:
            self._thread.join()
        self._done.clear()
        if self._open:
            self._open = 0
            self._forget()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._work:
                    self._running = False
                    return
                work = self._work.popleft()
            then = work()
            with self._lock:  # both at once: the descriptor goes when the last one was told
                self._done.append(then)
                os.eventfd_write(self._event, 1)

    def _tell(self) -> None:
        with self._lock:
            os.eventfd_read(self._event)
            done, self._done = self._done, deque()
        self._open -= len(done)
        if not self._open:
            self._forget()
        for then in done:
            then()

    def _forget(self) -> None:
        self._selector.unregister(self._event)
        os.close(self._event)
