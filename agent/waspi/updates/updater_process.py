"""The agent's end of an updater: started, heard, written to and ended, without ever blocking."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import Final

from waspi.sandbox.child import Child
from waspi.updates.updater_messages import MAX_BYTES

_BOOT: Final = "import sys;sys.path.append(sys.argv[1]);from waspi.updates.__main__ import main;main()"
_HELD_BYTES: Final = 2 * 1024 * 1024
"""Of answers that wait for the updater to read them: what is beyond it asks for again."""
_AT_ONCE: Final = 16

_log = logging.getLogger(__name__)


def command() -> tuple[str, ...]:
    """The updater's command line; with ``site``, unlike a worker's: that is where python-tuf is found."""
    return (sys.executable, "-I", "-c", _BOOT, str(Path(__file__).resolve().parents[2]))


class UpdaterProcess:
    """One updater. ``on_message`` gets each message; ``on_end`` is called once, with how it ended."""

    def __init__(
        self,
        selector: BaseSelector,
        program: tuple[str, ...],
        on_message: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        """Start it. Raises ``WorkerError`` when there is no process to be had."""
        self._selector = selector
        self._on_message = on_message
        self._on_end = on_end
        self._waiting: deque[tuple[bytes, ...]] = deque()
        self._held = 0
        self._buffer = bytearray(MAX_BYTES)  # a new one for each message costs 60 us
        self._watched = EVENT_READ
        self._child = Child(selector, program, self._exited, kind=socket.SOCK_SEQPACKET)
        self._sock: socket.socket | None = self._child.sock
        self._sock.setblocking(False)
        selector.register(self._sock, EVENT_READ, self._ready)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def send(self, *parts: bytes) -> bool:
        """Send a message of ``parts`` now or soon.

        ``False``: it was dropped, since it is longer than MAX_BYTES, or too many wait already.
        """
        size = sum(map(len, parts))
        if self._sock is None or size > MAX_BYTES or self._held + size > _HELD_BYTES:
            return False
        self._waiting.append(parts)
        self._held += size
        self._flush()
        return True

    def kill(self) -> None:
        """End it; ``on_end`` follows."""
        self._child.kill()

    def close(self) -> None:
        """End it and wait until it is gone; nothing is called back."""
        self._let_go()
        self._child.kill()
        self._child.reap()

    def _ready(self) -> None:
        if self._waiting:
            self._flush()
        self._read()

    def _read(self) -> bool:
        """Take in some messages; whether there may be more."""
        for _ in range(_AT_ONCE):
            if self._sock is None:
                return False
            try:
                size = self._sock.recv_into(self._buffer)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                continue  # it ended without reading all; the kernel says so once, before what it had said itself
            except OSError:
                size = 0
            if not size:
                self._let_go()  # its end follows
                return False
            self._on_message(bytes(memoryview(self._buffer)[:size]))
        return True

    def _flush(self) -> None:
        while self._waiting and self._sock is not None:
            parts = self._waiting[0]
            try:
                self._sock.sendmsg(parts)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EMSGSIZE:  # the updater is gone
                    self._waiting.clear()
                    self._held = 0
                    break
                _log.error("a message for the updater is too long for a local socket here; raise net.core.wmem_default")
            self._waiting.popleft()
            self._held -= sum(map(len, parts))
        watch = EVENT_READ | EVENT_WRITE if self._waiting else EVENT_READ
        if watch != self._watched and self._sock is not None:
            self._watched = watch
            self._selector.modify(self._sock, watch, self._ready)

    def _let_go(self) -> None:
        if self._sock is not None:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._sock = None

    def _exited(self) -> None:
        while self._read():  # what it said before it ended
            pass
        self._let_go()
        self._on_end(self._child.diagnosis())
