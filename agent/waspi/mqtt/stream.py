"""A socket for paho that reads and writes in bulk and bounds the packets of a hostile broker.

paho reads a packet's header byte by byte from the socket and sends every packet by itself; behind this class those
become copies in memory, with one ``recv`` and one ``send`` for many packets. It also follows the fixed headers
(MQTT 5.0, 2.1) so that a packet beyond the agreed Maximum Packet Size is refused before a byte of it is kept.
"""

from __future__ import annotations

import socket
import ssl

_CHUNK = 65_536
_MAX_LENGTH_BYTES = 4


class PacketTooLargeError(OSError):
    """The broker sends a packet that is larger than what was agreed, or a length that is no length."""


class Stream:
    """What paho takes for its socket; ``sock`` is connected, and TLS is done."""

    def __init__(self, sock: socket.socket, max_packet_bytes: int) -> None:
        self._sock = sock
        self._max = max_packet_bytes
        self._data = b""
        self._at = 0
        self._skip = 0
        self._length = 0
        self._length_bytes = -1  # -1: the next byte is a packet's first
        self._out: list[bytes] = []
        self._out_bytes = 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def buffered(self) -> bool:
        """Whether received bytes wait here, which no selector would tell."""
        if self._at < len(self._data):
            return True
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    @property
    def unsent_bytes(self) -> int:
        """Bytes that :meth:`flush` has still to send."""
        return self._out_bytes

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes; ``b""`` at the end. Raises ``PacketTooLargeError`` and what the socket raises."""
        if self._at >= len(self._data):
            data = self._sock.recv(_CHUNK)
            if not data:
                return b""
            self._follow(data)
            self._data = data
            self._at = 0
        end = self._at + size
        part = self._data[self._at : end]
        self._at = end
        if end >= len(self._data):
            self._data = b""
            self._at = 0
        return part

    def _follow(self, data: bytes) -> None:
        at = 0
        size = len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
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
                    raise PacketTooLargeError("the broker sent a remaining length of more than four bytes")
                continue
            if self._length + 1 + self._length_bytes > self._max:
                raise PacketTooLargeError(
                    f"the broker sent a packet of {self._length} bytes, more than the {self._max} that were agreed"
                )
            self._skip = self._length
            self._length_bytes = -1

    def send(self, data: bytes | bytearray) -> int:
        """Keep ``data`` for the next :meth:`flush`; always all of it."""
        self._out.append(bytes(data))
        self._out_bytes += len(data)
        return len(data)

    def flush(self) -> bool:
        """Send what is kept, as far as the socket takes it. Returns whether all is sent; raises ``OSError``."""
        while self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._out = [data]
                return False
            self._out_bytes -= sent
            self._out = [] if sent == len(data) else [data[sent:]]
        return True

    def close(self) -> None:
        """Send what still can be sent (a DISCONNECT is such a last word) and close."""
        try:
            self.flush()
        except OSError:
            pass  # the link is gone: nobody is there to hear the last word
        self._sock.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the socket's own signature
        """As the socket's."""
        self._sock.setblocking(flag)
