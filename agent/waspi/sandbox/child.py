"""Starting, watching and ending one child process."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from contextlib import suppress
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Final

from waspi.errors import WorkerError
from waspi.sandbox.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

SOCKET_FD: Final = 3
"""The child's end of the socket for requests and answers."""
CONTROL_FD: Final = 4
"""The child's end of the socket for cancels."""
_ABOVE: Final = 16
"""Descriptors are first moved above the ones that the child gets, so that no ``dup2`` overwrites a source."""
_DIAGNOSIS: Final = 4096


class Child:
    """A process with an empty environment, a session of its own, two sockets and a pipe for its last words.

    The kernel tells its end through a pidfd, so that neither a signal handler nor polling is needed. The process that
    starts it must do so from a thread that lives on: the child asks to be killed when that thread ends.
    """

    def __init__(
        self,
        selector: BaseSelector,
        command: tuple[str, ...],
        on_exit: Callable[[], None],
        *,
        kind: int = socket.SOCK_STREAM,
    ) -> None:
        """Start ``command``; ``on_exit`` is called once when the process has ended and was reaped.

        ``kind`` is the type of the socket for requests and answers.

        Raises ``WorkerError``: no process, no memory or no descriptor left.
        """
        self._selector = selector
        self._on_exit = on_exit
        self.status: int | None = None
        """As of ``waitpid``, decoded: exit code, or minus the signal's number; ``None`` while it lives."""
        try:
            self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
            self.control, theirs_control = socket.socketpair()
            self._words, their_words = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise WorkerError(f"no descriptors for a worker process: {error.strerror}") from error
        ends = (theirs.detach(), theirs_control.detach(), their_words)
        try:
            self.pid = _spawn(command, *ends)
            self._pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            self._let_go()
            raise WorkerError(f"a worker process cannot be started: {command[0]}: {error.strerror}") from error
        finally:
            for end in ends:
                os.close(end)
        self.control.setblocking(False)
        selector.register(self._pidfd, EVENT_READ, data=self._exited)

    def kill(self) -> None:
        """SIGKILL; ``on_exit`` follows. Harmless when it has already ended."""
        if self.status is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def reap(self) -> None:
        """Wait until the process is gone (after :meth:`kill`, or after its end of file); calls nothing back."""
        if self.status is None:
            self._collect(0)
        self.sock.close()

    def diagnosis(self) -> str:
        """How it ended, with the last line that it wrote to stderr (``str``)."""
        if self.status is None:
            how = "is still there"
        elif self.status < 0:
            how = f"was killed by {_signal_name(-self.status)}"
        else:
            how = f"left with status {self.status}"
        return f"{how}: {self.words}" if self.words else how

    words: str = ""
    """The last line of its stderr, once it has ended."""

    def _exited(self) -> None:
        if self.status is None and self._collect(os.WNOHANG):
            self._on_exit()

    def _collect(self, options: int) -> bool:
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # somebody else reaped it
            pid, status = self.pid, 0
        if pid == 0:
            return False
        self.status = os.waitstatus_to_exitcode(status)
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        try:
            lines = os.read(self._words, 65536)[-_DIAGNOSIS:].strip().splitlines()
        except BlockingIOError:
            lines = []
        self.words = one_line(lines[-1])[:300] if lines else ""
        os.close(self._words)
        self.control.close()
        return True

    def _let_go(self) -> None:
        self.sock.close()
        self.control.close()
        os.close(self._words)


def _spawn(command: tuple[str, ...], sock: int, control: int, words: int) -> int:
    """``posix_spawn``: no copy of the agent's page tables, and no Python between fork and exec."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in (sock, control, words)]
    try:
        return os.posix_spawn(
            command[0],
            command,
            {},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, moved[2], 2),
                (os.POSIX_SPAWN_DUP2, moved[0], SOCKET_FD),
                (os.POSIX_SPAWN_DUP2, moved[1], CONTROL_FD),
            ],
            setsid=True,
            setsigmask=(),
            # Python ignores these two, and what is ignored stays so across exec.
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    finally:
        for fd in moved:
            os.close(fd)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
