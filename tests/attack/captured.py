"""The real worker and compiler programs, taken over: ``python captured.py worker|compiler ARGUMENTS``.

A job whose input begins with ``attack:`` (for the compiler: a module that holds these words) names a deed, which is
then done where native code that broke out of its guest would do it: in the locked-down process, with all that it holds.
All other jobs and modules are served as ever.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import re
import signal
import socket  # noqa: F401 - before the lock-down: nothing is imported after it
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "agent"))

from waspi.sandbox import compiler, frame, program, worker

_LIBC = ctypes.CDLL(None, use_errno=True)
_PARENT = os.getppid()
_MSG_OOB = 1
_AT_EMPTY_PATH = 0x1000


def _executable() -> int:
    _LIBC.mmap.restype = ctypes.c_long
    return int(_LIBC.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)))


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: _LIBC.open(b"/etc/passwd", 0),
    "create": lambda: _LIBC.open(b"/tmp/waspi-was-here", 65, 0o600),
    "stat": lambda: _LIBC.fstatat(-100, b"/etc/passwd", ctypes.create_string_buffer(256), _AT_EMPTY_PATH),
    "statx": lambda: _LIBC.statx(-100, b"/etc/passwd", _AT_EMPTY_PATH, 0x7FF, ctypes.create_string_buffer(256)),
    "tcp": lambda: _LIBC.socket(2, 1, 0),
    "unix": lambda: _LIBC.socket(1, 1, 0),
    "fork": _LIBC.fork,
    "kill the agent": lambda: _LIBC.kill(_PARENT, signal.SIGTERM),
    "signal all": lambda: _LIBC.kill(-1, signal.SIGTERM),
    "raise its limits": lambda: _LIBC.setrlimit(7, ctypes.byref((ctypes.c_ulong * 2)(1 << 20, 1 << 20))),
    "become root": lambda: _LIBC.setuid(0),
    "out-of-band byte": lambda: _LIBC.send(program.SOCKET_FD, b"x", 1, _MSG_OOB),
    "send a descriptor": lambda: _LIBC.sendmsg(program.SOCKET_FD, ctypes.create_string_buffer(64), 0),
    "executable memory": _executable,
    "another filter": lambda: _LIBC.syscall(317, 1, 1, 0),
}
"""What breaks out tries first; each has to fail with EPERM (executable memory may fail otherwise)."""
_EARLIER: list[bytes] = []
"""What this process has seen of the jobs before."""


def _tried() -> bytes:
    """What came of each attempt, one a line."""
    lines = []
    for name, attempt in _ATTEMPTS.items():
        ctypes.set_errno(0)
        answer = attempt()
        lines.append(f"{name}: {'done' if answer != -1 else errno.errorcode.get(ctypes.get_errno(), 'failed')}")
    return "\n".join(lines).encode()


def _threads() -> bytes:
    """How many threads can be started."""
    started = 0
    for _ in range(100):
        try:
            _thread.start_new_thread(int, ())
        except RuntimeError:
            continue
        started += 1
    return b"%d" % started


def _raw(data: bytes) -> None:
    while data:
        data = data[os.write(program.SOCKET_FD, data) :]


def _for_ever(what: bytes, fd: int) -> None:
    while True:
        os.write(fd, what)


def _answer(output: bytes, run_us: int = 7) -> tuple[bytes, ...]:
    return frame.ANSWER_HEAD.pack(1, 65536, run_us, 0, 1), frame.SIZE.pack(len(output)), output


def _deed(name: str) -> tuple[bytes, ...]:
    """Do it; the pieces of the answer, if there is to be one."""
    match name:
        case "try":
            return _answer(_tried())
        case "threads":
            return _answer(_threads())
        case "spy":
            return _answer(b"\n".join(_EARLIER))
        case "long ago":
            return _answer(b"it took me long", (1 << 63) - 1)
        case "garbage":
            _raw(os.urandom(1 << 16))
        case "huge":
            _raw(frame.HEADER.pack(frame.MAGIC, frame.ANSWER, 1, 0xFFFFFFFF))
        case "endless":
            _for_ever(bytes(1 << 16), program.SOCKET_FD)
        case "last words":
            _for_ever(b"\x1b[31mwords \xff" * 1000, 2)
        case "control":
            _for_ever(bytes(4096), program.CONTROL_FD)
        case "die":
            os._exit(3)
    while True:
        time.sleep(1000)


_honest_run = worker.Runner.run


def _run(self: worker.Runner, body: memoryview, artifact: int | None) -> tuple[bytes, ...]:
    head = frame.RUN_HEAD
    fields = head.unpack_from(body)
    data = bytes(body[head.size + sum(fields[3:8]) + fields[10] + frame.SIZE.size * fields[9] :])
    if not data.startswith(b"attack:"):
        _EARLIER.append(data[:64])
        return _honest_run(self, body, artifact)
    if artifact is not None:  # or the jobs after it would find the module missing
        self._module(fields[0], artifact)
    return _deed(data[7:].decode())


_honest_compile = compiler.compile_module


def _compile(body: memoryview, wasm_fd: int | None, artifact_bytes: int) -> tuple[bytes, bytes]:
    assert wasm_fd is not None
    named = re.search(rb"attack:([a-z-]+)(?::([0-9a-f]{64}))?", program.read_fd(wasm_fd))
    if named is None:
        return _honest_compile(body, wasm_fd, artifact_bytes)
    head, artifact = _honest_compile(body, wasm_fd, artifact_bytes)
    match named[1]:
        case b"other-module":  # its own code, under the name of a module of somebody else
            return bytes.fromhex(named[2].decode()), artifact
        case b"twice":
            program.send(frame.ARTIFACT, 1, (head, artifact))
            return bytes.fromhex(named[2].decode()), artifact
        case b"garbage":
            _raw(os.urandom(1 << 16))
        case b"endless":
            _for_ever(bytes(1 << 16), program.SOCKET_FD)
        case b"try":
            return head, artifact + _tried()
    while True:
        time.sleep(1000)


worker.Runner.run = _run  # type: ignore[method-assign]
compiler.compile_module = _compile

if __name__ == "__main__":
    {"worker": worker, "compiler": compiler}[sys.argv[1]].main(sys.argv[2:])
