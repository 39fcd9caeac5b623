"""A real mosquitto on a free loopback port, started, killed and restarted by tests."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_BASE = """\
listener {port} 127.0.0.1
set_tcp_nodelay true
max_inflight_messages {inflight}
max_queued_messages 20000
log_type error
log_type warning
log_type notice
"""


_PORTS = range(15_000, 32_768)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now.

    Below those that the kernel gives to outgoing connections, one of which could take it before a broker does.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until_listening(process: subprocess.Popen[Any], port: int, log: Callable[[], str]) -> None:
    """Wait until ``process`` takes connections on loopback; raises with its ``log`` when it ends instead."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the broker ended at its start: {log()}") from None
        return


class Mosquitto:
    """One broker; ``extra`` lines are added to its configuration."""

    def __init__(
        self, folder: Path, *, extra: str = "allow_anonymous true\n", inflight: int = 64, port: int = 0
    ) -> None:
        self.port = port or free_port()
        self.folder = folder
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(_BASE.format(port=self.port, inflight=inflight) + extra)

    @property
    def log(self) -> str:
        """What the broker has written so far."""
        return self._log.read_text()

    @staticmethod
    def client(program: str, *arguments: str, check: bool = True) -> str:
        """Run ``mosquitto_pub`` or ``mosquitto_sub`` against this machine; what it printed."""
        done = subprocess.run(
            [program, "-V", "5", "-h", "127.0.0.1", *arguments], capture_output=True, text=True, check=check
        )
        return done.stdout

    def start(self) -> None:
        """Start and wait until it takes connections."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        wait_until_listening(self._process, self.port, lambda: self.log)

    def kill(self) -> None:
        """SIGKILL: nothing is written, sessions are lost unless persistence had saved them."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)

    def reload(self) -> None:
        """SIGHUP: it reads its access list again."""
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay, nobody answers."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(60)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
