"""What a child says to its parent, and the little that both programs of children share."""

from __future__ import annotations

import os

from waspi import _wasmer
from waspi.sandbox import frame
from waspi.sandbox.receiver import SOCKET_FD

TYPE_CHECKING = False  # not typing's: importing that would cost every worker 8 ms of its start
if TYPE_CHECKING:
    from collections.abc import Sequence

    from waspi.errors import WaspiError

_JOIN = 64 * 1024


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
    left = os.fstat(fd).st_size
    while left > 0 and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
