"""The child's reading side: one request at a time, with the descriptor that comes along."""

from __future__ import annotations

from _socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

from waspi.sandbox import frame

SOCKET_FD = 3
CONTROL_FD = 4
_BUFFER = 64 * 1024
_HEAD = frame.HEADER.size


class Receiver:
    """Reads requests from descriptor 3, several at once. Blocks; belongs to a child, whose parent it trusts."""

    def __init__(self) -> None:
        # The C class: importing ``socket`` costs a worker 6 ms for names that it does not use.
        self._socket = socket(AF_UNIX, SOCK_STREAM, 0, fileno=SOCKET_FD)
        self._buffer = bytearray(_BUFFER)
        self._whole = memoryview(self._buffer)
        self._at = 0
        self._end = 0

    def next(self) -> tuple[int, int, memoryview, int | None] | None:
        """Kind, sequence number, body and descriptor of the next request; ``None`` when the parent has closed.

        The body is valid until the next call.
        """
        fd = None
        while True:
            size = self._end - self._at
            if size >= _HEAD:
                _magic, request, seq, length = frame.HEADER.unpack_from(self._buffer, self._at)
                body = self._at + _HEAD
                if size >= _HEAD + length:
                    self._at = body + length
                    return request, seq, self._whole[body : self._at], fd
                if _HEAD + length > _BUFFER:
                    large = self._large(length)
                    return None if large is None else (request, seq, large, fd)
            if self._at:
                self._buffer[:size] = self._buffer[self._at : self._end]
                self._at, self._end = 0, size
            more, ancillary, _flags, _address = self._socket.recvmsg_into(
                [self._whole[self._end :]], CMSG_LEN(4), MSG_CMSG_CLOEXEC
            )
            if not more:
                return None
            self._end += more
            # It belongs to the first request that is here: the parent sends none along while another one is unanswered.
            for level, kind, data in ancillary:
                if level == SOL_SOCKET and kind == SCM_RIGHTS and len(data) == 4:  # noqa: PLR2004 - an int
                    fd = int.from_bytes(data, "little")

    def _large(self, length: int) -> memoryview | None:
        """The body of a request that the buffer does not hold."""
        body = memoryview(bytearray(length))
        size = self._end - self._at - _HEAD
        body[:size] = self._whole[self._at + _HEAD : self._end]
        self._at = self._end = 0
        while size < length:
            more = self._socket.recv_into(body[size:])
            if not more:
                return None
            size += more
        return body
