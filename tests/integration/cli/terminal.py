"""A command on a terminal of its own, as somebody sees it who sits before it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from fcntl import ioctl
from pathlib import Path

from tests.integration.cli.command import environment

PATIENCE_S = 60.0
"""A command that takes longer is killed, and the test fails by its exit code."""


def on_terminal(*arguments: str, home: Path, until: bytes = b"", columns: int = 200) -> tuple[int, str]:
    """Run a command whose output and errors go to a terminal; returns its exit code and what the terminal got.

    With ``until`` the command is interrupted by Ctrl-C once that was shown.
    """
    screen, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        ["env", "--default-signal=SIGINT", sys.executable, "-m", "waspi", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=environment(home, {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}),
    )
    os.close(terminal)
    shown = bytearray()
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    with contextlib.suppress(OSError):  # EIO: the last who had the terminal open is gone
        while part := os.read(screen, 65536):
            shown += part
            if until and until in shown:
                process.send_signal(signal.SIGINT)
                until = b""
    os.close(screen)
    watchdog.cancel()
    return process.wait(60), shown.decode()
