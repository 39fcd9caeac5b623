"""The parent's end of a child's socket: frames in and out, never blocking, bounded."""

from __future__ import annotations

import os
import socket
from array import array
from collections import deque
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

from waspi.errors import WorkerError
from waspi.sandbox import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from selectors import BaseSelector

_READ: Final = 64 * 1024
_VECTORS: Final = 128
"""Buffers handed to one ``sendmsg``; Linux allows 1024."""
_HEAD: Final = frame.HEADER.size


class Channel:
    """Sends requests and collects frames; whatever is no frame ends it."""

    def __init__(
        self,
        selector: BaseSelector,
        sock: socket.socket,
        on_frame: Callable[[int, int, memoryview], Callable[[], None]],
        on_end: Callable[[str | None], None],
        max_body: int,
    ) -> None:
        """Take over ``sock`` and register it.

        ``on_frame`` judges kind, sequence number and body of a frame: it returns what to do about it, or raises
        ``WorkerError``, which ends the channel. What is done about it may raise what it likes: that passes through.
        ``on_end`` is called once: with ``None`` at end of file, else with what was wrong (``str``). ``max_body`` bounds
        the body of the next frame in bytes, -1 where none is expected; assign :attr:`max_body` to change it.
        """
        self.max_body = max_body
        self._selector = selector
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._out: deque[memoryview] = deque()
        self._fds: tuple[int, ...] = ()
        self._sent = False
        self._received = b""
        self._at = 0
        self._large: bytearray | None = None
        self._filled = 0
        self._watched = EVENT_READ
        sock.setblocking(False)
        selector.register(sock, EVENT_READ, data=self._ready)
        self.open = True
        self.undelivered = False
        """Whether nothing of the last frame went out, because the other side was gone already."""

    @property
    def sending(self) -> bool:
        """Whether a part of a request still waits to be sent (``bool``)."""
        return bool(self._out)

    def send(self, buffers: Iterable[bytes | memoryview], fd: int | None = None) -> None:
        """Send one frame, as much as goes now and the rest when there is room.

        ``fd`` travels with its first byte and is closed here in any case. The channel must not be :attr:`sending`.
        """
        self._fds = () if fd is None else (fd,)
        self._sent = False
        self.undelivered = False
        self.hold(buffers)
        self.flush()

    def hold(self, buffers: Iterable[bytes | memoryview]) -> None:
        """Have one more frame sent with the next :meth:`flush`, behind those that wait."""
        self._out.extend([memoryview(buffer) for buffer in buffers if buffer])

    def drain(self) -> None:
        """Read all that the dead child left behind."""
        while self.open and self._read():
            pass

    def mute(self) -> None:
        """Neither send nor read any more."""
        if self.open:
            self.open = False
            self._selector.unregister(self._sock)
            self._drop_fds()
            self._out.clear()

    def close(self) -> None:
        """Let go of the socket; nothing is called back any more."""
        self.mute()
        self._sock.close()

    def _ready(self) -> None:
        if self.open and self._out:
            self.flush()
        if self.open:
            self._read()

    def flush(self) -> None:
        """Send what waits, as much as goes now."""
        try:
            while self._out:
                vectors = [self._out[index] for index in range(min(len(self._out), _VECTORS))]
                if self._fds:
                    sent = self._sock.sendmsg(vectors, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", self._fds))])
                    self._drop_fds()
                else:
                    sent = self._sock.sendmsg(vectors)
                self._sent = True
                while self._out and sent >= len(self._out[0]):
                    sent -= len(self._out.popleft())
                if sent:
                    self._out[0] = self._out[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            # Broken pipe: the end of file that follows tells it better. Nothing more goes out.
            self.undelivered = not self._sent
            self._out.clear()
            self._drop_fds()
        watch = EVENT_READ | EVENT_WRITE if self._out else EVENT_READ
        if watch != self._watched:
            self._watched = watch
            self._selector.modify(self._sock, watch, data=self._ready)

    def _drop_fds(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = ()

    def _read(self) -> bool:
        """One read, and all frames that came with it; whether there may be more."""
        try:
            self._receive()
        except BlockingIOError:
            return False
        except (EOFError, ConnectionResetError):
            partial = self._at < len(self._received) or self._large is not None
            self._end("it ended in the middle of a frame" if partial else None)
            return False
        while self.open:
            try:
                act = self._judge()
            except WorkerError as error:
                self._end(error.message)
                return False
            if act is None:
                return True
            act()
        return False

    def _receive(self) -> None:
        if self._large is not None:
            count = self._sock.recv_into(memoryview(self._large)[self._filled :])
            if not count:
                raise EOFError
            self._filled += count
            return
        data = self._sock.recv(_READ)
        if not data:
            raise EOFError
        self._received = self._received[self._at :] + data if self._at < len(self._received) else data
        self._at = 0

    def _judge(self) -> Callable[[], None] | None:
        """What to do about the next whole frame; ``None``: there is none. Raises ``WorkerError``."""
        if self._large is not None:
            if self._filled < len(self._large):
                return None
            whole, self._large = memoryview(self._large), None
            _magic, kind, seq, _size = frame.HEADER.unpack_from(whole)
            return self._on_frame(kind, seq, whole[_HEAD:])
        left = len(self._received) - self._at
        if left and self.max_body < 0:
            raise WorkerError("it sent more than it was asked for")
        if left < _HEAD:
            return None
        magic, kind, seq, size = frame.HEADER.unpack_from(self._received, self._at)
        if magic != frame.MAGIC or size > self.max_body:
            raise WorkerError("it sent something that is no frame, or one too large")
        begin = self._at + _HEAD
        if left >= _HEAD + size:
            self._at = begin + size
            return self._on_frame(kind, seq, memoryview(self._received)[begin : self._at])
        if size > _READ:
            self._large = bytearray(_HEAD + size)
            self._large[:left] = self._received[self._at :]
            self._filled = left
            self._received, self._at = b"", 0
        return None

    def _end(self, reason: str | None) -> None:
        self.mute()
        self._on_end(reason)
