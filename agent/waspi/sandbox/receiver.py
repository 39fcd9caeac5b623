"""The child's reading side: one request at a time, with the descriptor that comes along."""

from __future__ import annotations

from _socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

from waspi.sandbox import frame

SOCKET_FD = 3
CONTROL_FD = 4
_BUFFER = 64 * 1024


class Receiver:
    """Reads requests from descriptor 3. Blocks; belongs to a child, whose parent it trusts."""

    def __init__(self) -> None:
        # The C class: importing ``socket`` costs a worker 6 ms for names that it does not use.
        self._socket = socket(AF_UNIX, SOCK_STREAM, 0, fileno=SOCKET_FD)
        self._buffer = bytearray(_BUFFER)
        self._whole = memoryview(self._buffer)

    def next(self) -> tuple[int, int, memoryview, int | None] | None:
        """Kind, sequence number, body and descriptor of the next request; ``None`` when the parent has closed.

        The body is valid until the next call.
        """
        size, ancillary, _flags, _address = self._socket.recvmsg_into([self._buffer], CMSG_LEN(4), MSG_CMSG_CLOEXEC)
        if size == 0:
            return None
        fd = None
        for level, kind, data in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS and len(data) == 4:  # noqa: PLR2004 - an int
                fd = int.from_bytes(data, "little")
        head = frame.HEADER.size
        while size < head:
            more = self._socket.recv_into(self._whole[size:])
            if more == 0:
                return None
            size += more
        _magic, request, seq, length = frame.HEADER.unpack_from(self._buffer)
        total = head + length
        if total <= size:
            return request, seq, self._whole[head:total], fd
        whole = self._whole if total <= _BUFFER else memoryview(bytearray(total))
        if whole is not self._whole:
            whole[:size] = self._whole[:size]
        while size < total:
            more = self._socket.recv_into(whole[size:total])
            if more == 0:
                return None
            size += more
        return request, seq, whole[head:total], fd
