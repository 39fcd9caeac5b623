"""A socket for paho that reads and writes in bulk and bounds the packets of a hostile broker.

paho reads a packet's header byte by byte from its socket and sends every packet by itself; behind this class those
become copies in memory, with one ``recv`` and one ``send`` for many packets. The stream follows the fixed headers
(MQTT 5.0, 2.1), so that a packet beyond the agreed Maximum Packet Size is refused before it is kept, and so that paho
is only asked to read where a whole packet waits.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl  # 4 MB in an agent that speaks plain MQTT

_CHUNK = 65_536
_MAX_LENGTH_BYTES = 4


class PacketTooLargeError(OSError):
    """The broker sends a packet that is larger than what was agreed, or a length that is no length."""


class Stream:
    """What paho takes for its socket; ``sock`` is connected, and TLS is done."""

    def __init__(self, sock: socket.socket, max_packet_bytes: int) -> None:
        self._sock = sock
        self._max = max_packet_bytes
        self._in = bytearray()
        self._at = 0
        self._skip = 0
        self._length = 0
        self._length_bytes = -1  # -1: the next byte is a packet's first
        self._out: list[bytes] = []
        self._tls: ssl.SSLSocket | None = None
        self._would_block: tuple[type[OSError], ...] = (BlockingIOError,)
        if hasattr(sock, "pending"):
            import ssl  # noqa: PLC0415 - it is loaded already where TLS is spoken

            if isinstance(sock, ssl.SSLSocket):
                self._tls = sock
                self._would_block = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._ends: deque[int] = deque()
        self.quota = 0
        """How many packets may still be read in this round."""
        self.ended = False
        """Whether the broker has closed its side."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def packets(self) -> int:
        """Whole packets that wait to be read (``int``)."""
        return len(self._ends)

    def fill(self) -> None:
        """Take in what the socket holds, a bounded part of it. Raises ``PacketTooLargeError`` and other ``OSError``."""
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except self._would_block:
                return
            if not data:
                self.ended = True
                return
            self._follow(data)
            self._in += data
            # What TLS has decrypted already no selector would tell.
            if self._tls is None or not self._tls.pending():
                return

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes of a whole packet that waits (paho's side). Raises ``BlockingIOError`` else."""
        ends = self._ends
        if not ends or not self.quota:
            raise BlockingIOError
        end = self._at + size
        part = bytes(self._in[self._at : end])
        self._at = end
        if end >= ends[0]:
            ends.popleft()
            self.quota -= 1
            if not ends:
                del self._in[:end]
                self._at = 0
        return part

    def _follow(self, data: bytes) -> None:
        start = len(self._in)
        at = 0
        size = len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                if not self._skip:
                    self._ends.append(start + at)
                continue
            byte = data[at]
            at += 1
            if self._length_bytes < 0:
                self._length = 0
                self._length_bytes = 0
                continue
            self._length |= (byte & 0x7F) << (7 * self._length_bytes)
            self._length_bytes += 1
            if byte & 0x80:
                if self._length_bytes >= _MAX_LENGTH_BYTES:
                    raise PacketTooLargeError("a remaining length of more than four bytes")
                continue
            if self._length + 1 + self._length_bytes > self._max:
                raise PacketTooLargeError(
                    f"a packet of {self._length} bytes, more than the {self._max} that were agreed"
                )
            self._skip = self._length
            self._length_bytes = -1
            if not self._skip:
                self._ends.append(start + at)

    def send(self, data: bytes | bytearray) -> int:
        """Keep ``data`` for the next :meth:`flush`; always all of it (paho's side)."""
        self._out.append(bytes(data))
        return len(data)

    def flush(self) -> bool:
        """Send what is kept, as far as the socket takes it. Returns whether all is sent; raises ``OSError``."""
        while self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            try:
                sent = self._sock.send(data)
            except self._would_block:
                self._out = [data]
                return False
            self._out = [] if sent == len(data) else [data[sent:]]
        return True

    def close(self) -> None:
        """Send what still can be sent (a DISCONNECT is such a last word) and close."""
        try:
            self.flush()
        except OSError:
            self._out.clear()  # the link is gone: nobody is there to hear the last word
        self._sock.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """As the socket's."""
        self._sock.setblocking(flag)
