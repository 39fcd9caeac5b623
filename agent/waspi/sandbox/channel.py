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
        the body of the next frame in bytes; assign :attr:`max_body` to change it.
        """
        self.max_body = max_body
        self._selector = selector
        self._sock = sock
        self._on_frame = on_frame
        self._on_end = on_end
        self._out: deque[memoryview] = deque()
        self._fds: tuple[int, ...] = ()
        self._sent = False
        self._small = bytearray()
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
        self._out.extend(memoryview(buffer) for buffer in buffers if buffer)
        self._flush()

    def drain(self) -> None:
        """Read all that the dead child left behind."""
        while self.open and self._read():
            pass

    def close(self) -> None:
        """Let go of the socket; nothing is called back any more."""
        if not self.open:
            return
        self.open = False
        self._selector.unregister(self._sock)
        self._sock.close()
        self._drop_fds()
        self._out.clear()

    def _ready(self) -> None:
        if self.open and self._out:
            self._flush()
        if self.open:
            self._read()

    def _flush(self) -> None:
        try:
            while self._out:
                vectors = [self._out[index] for index in range(min(len(self._out), _VECTORS))]
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", self._fds))] if self._fds else []
                sent = self._sock.sendmsg(vectors, ancillary)
                self._sent = True
                self._drop_fds()
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
        """One read; whether there may be more."""
        try:
            act = self._receive()
        except BlockingIOError:
            return False
        except (EOFError, ConnectionResetError):
            self._end("it ended in the middle of a frame" if self._small or self._large is not None else None)
            return False
        except WorkerError as error:
            self._end(error.message)
            return False
        if act is not None:
            act()
        return True

    def _receive(self) -> Callable[[], None] | None:
        if self._large is None:
            data = self._sock.recv(_READ)
            if not data:
                raise EOFError
            return self._take(data)
        count = self._sock.recv_into(memoryview(self._large)[self._filled :])
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < len(self._large):
            return None
        whole, self._large = self._large, None
        return self._judge(memoryview(whole))

    def _take(self, data: bytes) -> Callable[[], None] | None:
        """Bytes while no large frame is being filled: a header at least, most often a whole frame."""
        if self._small:
            data = bytes(self._small + data)
            self._small.clear()
        head = frame.HEADER.size
        if len(data) < head:
            self._small += data
            return None
        magic, _kind, _seq, size = frame.HEADER.unpack_from(data)
        if magic != frame.MAGIC or size > self.max_body:
            raise WorkerError("it sent something that is no frame, or one too large")
        if len(data) > head + size:
            raise WorkerError("it sent more than it was asked for")
        if len(data) == head + size:
            return self._judge(memoryview(data))
        self._large = bytearray(head + size)
        self._large[: len(data)] = data
        self._filled = len(data)
        return None

    def _judge(self, whole: memoryview) -> Callable[[], None]:
        _magic, kind, seq, _size = frame.HEADER.unpack_from(whole)
        return self._on_frame(kind, seq, whole[frame.HEADER.size :])

    def _end(self, reason: str | None) -> None:
        self.close()
        self._on_end(reason)
