"""What the programs of the children share: their way of starting, of hearing the agent and of answering it."""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

from waspi import _wasmer
from waspi.sandbox import frame

TYPE_CHECKING = False  # not typing's: importing that would cost every worker 8 ms of its start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from waspi.errors import WaspiError

SOCKET_FD = 3
CONTROL_FD = 4
_BUFFER = 64 * 1024
_HEAD = frame.HEADER.size
_JOIN = 64 * 1024
"""Bytes of a frame up to which it is sent in one piece."""


def lower_priority() -> None:
    """Leave the agent's folder, and be the first to go when the board is out of memory: the agent has to live."""
    os.chdir("/")
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:  # no /proc: then the kernel's own choice stands
        return
    try:
        os.write(fd, b"1000")
    except OSError:
        pass
    finally:
        os.close(fd)


def greet(posture: dict[str, str]) -> None:
    """HELLO: locked down, and how."""
    table = {"engine": _wasmer.ENGINE, "target": _wasmer.TARGET, "fingerprint": _wasmer.FINGERPRINT}
    table.update({f"posture.{part}": state for part, state in posture.items()})
    send(frame.HELLO, 0, (frame.pack_table(table),))


def send(kind: int, seq: int, pieces: Sequence[bytes]) -> None:
    """One frame, whole. Large pieces are not copied. Ends the process when the parent is gone."""
    total = sum(map(len, pieces))
    head = frame.HEADER.pack(frame.MAGIC, kind, seq, total)
    parts = (b"".join((head, *pieces)),) if total <= _JOIN else (head, *pieces)
    try:
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(SOCKET_FD, rest) :]
    except OSError:
        os._exit(0)


def refuse(seq: int, error: WaspiError) -> None:
    """FAILURE: the error with what the run used up, each text cut to its bound."""
    kind = error.kind.encode()[: frame.MAX_KIND]
    function = (error.function or "").encode("utf-8", "replace")[: frame.MAX_FUNCTION]
    message = error.message.encode("utf-8", "replace")[: frame.MAX_MESSAGE]
    offset = -1 if error.offset is None else error.offset
    head = frame.FAILURE_HEAD.pack(
        error.fuel, error.memory_bytes, error.run_us, offset, len(kind), len(function), len(message), len(error.log)
    )
    send(frame.FAILURE, seq, (head, kind, function, message, error.log))


def read_fd(fd: int) -> bytes:
    """The whole file, through a descriptor that was opened elsewhere."""
    parts = []
    left = os.lseek(fd, 0, os.SEEK_END)  # not fstat: the lock-down denies it
    os.lseek(fd, 0, os.SEEK_SET)
    while left > 0 and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
