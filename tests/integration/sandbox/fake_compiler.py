"""A compiler without an engine that a module has taken over: its argument says what it does.

Started through ``PoolSettings.compiler_command`` in place of the real program; speaks the same frames.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "agent"))

from waspi.sandbox import frame
from waspi.sandbox.program import SOCKET_FD, Receiver, read_fd, send

OTHER = hashlib.sha256(b"a module of somebody else").digest()


def main(way: str) -> None:
    """Answer one request."""
    receiver = Receiver()
    send(frame.HELLO, 0, (frame.pack_table({"engine": "fake 1", "posture.seccomp": "on"}),))
    while (request := receiver.next()) is not None:
        _kind, seq, _body, fd = request
        assert fd is not None
        own = hashlib.sha256(read_fd(fd)).digest()
        if way == "other-module":
            send(frame.ARTIFACT, seq, (frame.ARTIFACT_HEAD.pack(OTHER), b"its artifact"))
        elif way == "twice":
            for digest in (own, OTHER):
                send(frame.ARTIFACT, seq, (frame.ARTIFACT_HEAD.pack(digest), b"its artifact"))
        elif way == "unasked":
            send(frame.ARTIFACT, seq + 1, (frame.ARTIFACT_HEAD.pack(OTHER), b"its artifact"))
        elif way.startswith("/"):  # an artifact of another module, under the right name
            send(frame.ARTIFACT, seq, (frame.ARTIFACT_HEAD.pack(own), Path(way).read_bytes()))
        elif way == "kills":
            os._exit(9)
        else:
            os.write(SOCKET_FD, os.urandom(4096))
    os._exit(0)


main(sys.argv[1])
