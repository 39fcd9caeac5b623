"""The real worker with one thing replaced: instead of a guest it runs a probe that the input names.

The probe stands for native code that broke out of a guest. It runs where a guest would: after the worker's own
lock-down, in its own process.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import fcntl
import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "agent"))

from waspi.sandbox import frame, worker

LIBC = ctypes.CDLL(None, use_errno=True)
PARENT = os.getppid()
AF_INET, AF_UNIX, SOCK_STREAM, SOCK_DGRAM = 2, 1, 1, 2
O_WRONLY, O_CREAT = 1, 64
PTRACE_ATTACH = 16
PROT_ALL, MAP_PRIVATE_ANONYMOUS = 7, 0x22


def call(name: str, *arguments: object) -> str:
    """``ok`` or the errno's name."""
    ctypes.set_errno(0)
    answer = getattr(LIBC, name)(*arguments)
    return "ok" if answer >= 0 else errno.errorcode[ctypes.get_errno()]


def open_descriptors() -> str:
    """Which descriptors there are, and what kind of thing each is."""
    found = []
    for number in range(256):
        try:
            fcntl.fcntl(number, fcntl.F_GETFD)
        except OSError:
            continue
        found.append(str(number))
    return " ".join(found)


def thread() -> str:
    """Whether a further thread can be started."""
    try:
        _thread.start_new_thread(int, ())
    except RuntimeError:
        return "EPERM"
    return "ok"


PROBES = {
    "thread": thread,
    "oob": lambda: call("send", 3, b"x", 1, 1),
    "sendmsg": lambda: call("sendmsg", 3, ctypes.create_string_buffer(64), 0),
    "stat": lambda: call("fstatat", -100, b"/etc/passwd", ctypes.create_string_buffer(256), 0x1000),
    "open": lambda: call("open", b"/etc/passwd", 0),
    "create": lambda: call("open", b"/tmp/waspi-was-here", O_WRONLY | O_CREAT, 0o600),
    "openat": lambda: call("openat", -100, b"/", 0),
    "unlink": lambda: call("unlink", b"/tmp/waspi-was-here"),
    "tcp": lambda: call("socket", AF_INET, SOCK_STREAM, 0),
    "udp": lambda: call("socket", AF_INET, SOCK_DGRAM, 0),
    "unix": lambda: call("socket", AF_UNIX, SOCK_STREAM, 0),
    "fork": lambda: call("fork"),
    "kill-parent": lambda: call("kill", PARENT, signal.SIGTERM),
    "kill-all": lambda: call("kill", -1, signal.SIGTERM),
    "setuid": lambda: call("setuid", 0),
    "execve": lambda: call("execve", b"/bin/true", None, None),
    "ptrace": lambda: call("ptrace", PTRACE_ATTACH, PARENT, None, None),
    "prlimit": lambda: call("setrlimit", 1, ctypes.byref((ctypes.c_ulong * 2)(1 << 30, 1 << 30))),
    "environment": lambda: repr(dict(os.environb)) + repr(LIBC.getenv(b"PATH")),
    "descriptors": open_descriptors,
}


def run(_self: worker.Runner, body: memoryview, _artifact: int | None) -> tuple[bytes, ...]:
    """In place of a guest's run: the input names the probe, the output says what came of it."""
    head = frame.RUN_HEAD
    fields = head.unpack_from(body)
    at = head.size + sum(fields[3:8]) + fields[10] + frame.SIZE.size
    output = PROBES[str(body[at:], "ascii")]().encode()
    return (frame.ANSWER_HEAD.pack(0, 0, 0, 0, 1), frame.SIZE.pack(len(output)), output)


worker.Runner.run = run  # type: ignore[method-assign, assignment]  # it has no files
worker.main(sys.argv[1:])
