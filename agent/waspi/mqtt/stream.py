"""A socket for paho that reads and writes in bulk and bounds the packets of a hostile broker.

paho reads a packet's header byte by byte from its socket and sends every packet by itself; behind this class those
become copies in memory, with one ``recv`` and one ``send`` for many packets. The stream follows the fixed headers
(MQTT 5.0, 2.1), so that a packet beyond the agreed Maximum Packet Size is refused before it is kept, and so that a
reader is only asked to read where a whole packet waits.
"""

from __future__ import annotations

import socket
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from waspi.errors import BrokenPacketError

if TYPE_CHECKING:
    import ssl  # 4 MB in an agent that speaks plain MQTT

_CHUNK = 65_536
_MAX_LENGTH_BYTES = 4


class Stream:
    """What paho takes for its socket; ``sock`` is connected, and TLS is done."""

    def __init__(self, sock: socket.socket, max_packet_bytes: int) -> None:
        self._sock = sock
        self._max = max_packet_bytes
        self._followed = 0  # where the first packet begins whose end is not known yet
        self._out: list[bytes] = []
        self._tls: ssl.SSLSocket | None = None
        self._would_block: tuple[type[OSError], ...] = (BlockingIOError,)
        if hasattr(sock, "pending"):
            import ssl  # noqa: PLC0415 - it is loaded already where TLS is spoken

            if isinstance(sock, ssl.SSLSocket):
                self._tls = sock
                self._would_block = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self.received = bytearray()
        """What was received and not read; :attr:`at` and :attr:`ends` say where the packets are."""
        self.at = 0
        """Where the next packet begins, or what paho has left of it."""
        self.ends: deque[int] = deque()
        """Where whole packets end."""
        self.quota = 0
        """How many packets may still be read in this round."""
        self.ended = False
        """Whether the broker has closed its side."""
        self.heard_at = self.spoke_at = monotonic()
        """When bytes last came and went (seconds of the monotonic clock)."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def packets(self) -> int:
        """Whole packets that wait to be read (``int``)."""
        return len(self.ends)

    def fill(self) -> None:
        """Take in what the socket holds, a bounded part of it. Raises ``BrokenPacketError`` and ``OSError``."""
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except self._would_block:
                return
            if not data:
                self.ended = True
                return
            self.heard_at = monotonic()
            self.received += data
            self._follow()
            # What TLS has decrypted already no selector would tell.
            if self._tls is None or not self._tls.pending():
                return

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes of a whole packet that waits (paho's side). Raises ``BlockingIOError`` else."""
        if not self.ends or not self.quota:
            raise BlockingIOError
        end = self.at + size
        part = bytes(self.received[self.at : end])
        self.at = end
        if end >= self.ends[0]:
            self.next()
        return part

    def next(self) -> None:
        """The packet that waited first is read."""
        self.at = self.ends.popleft()
        self.quota -= 1
        if not self.ends:
            del self.received[: self.at]
            self._followed -= self.at
            self.at = 0

    def _follow(self) -> None:
        """Find the ends of the packets that are whole."""
        received, at, size = self.received, self._followed, len(self.received)
        while size - at > 1:
            length = received[at + 1]
            body = at + 2
            if length & 0x80:
                length &= 0x7F
                shift = 7
                while body < size:
                    byte = received[body]
                    body += 1
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if not byte & 0x80:
                        break
                    if shift >= 7 * _MAX_LENGTH_BYTES:
                        raise BrokenPacketError("a remaining length of more than four bytes")
                else:
                    break  # the rest of the length is still to come
            if body - at + length > self._max:
                raise BrokenPacketError(f"a packet of {length} bytes, more than the {self._max} that were agreed")
            if body + length > size:
                break
            at = body + length
            self.ends.append(at)
        self._followed = at

    def send(self, data: bytes | bytearray) -> int:
        """Keep ``data`` for the next :meth:`flush`; always all of it (paho's side)."""
        self._out.append(data if type(data) is bytes else bytes(data))
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
            self.spoke_at = monotonic()
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
