"""FAULT 35: the agent's loop stands still; the watchdog is no longer fed, presence goes offline, then online again."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto

WATCHDOG_S = 1.0
PATIENCE_S = 120.0


class Systemd:
    """Listens where ``NOTIFY_SOCKET`` points, as the service manager does."""

    def __init__(self) -> None:
        # Not in the test's folder: its path may be longer than the 107 bytes that a socket's may have.
        name = f"waspi-test-{secrets.token_hex(8)}"
        self.address = f"@{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name}")
        self.words: list[str] = []

    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000))}

    def hear(self, *words: str) -> None:
        """Wait until each of the words was said, as often as it is named."""
        self._socket.settimeout(PATIENCE_S)
        while any(self.words.count(word) < words.count(word) for word in words):
            self.words.append(self._socket.recv(4096).decode())

    def listen(self, seconds: float) -> list[str]:
        """What is said within so many seconds: for asserting that something is not."""
        end = time.monotonic() + seconds
        heard: list[str] = []
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        return heard

    def drain(self) -> None:
        """Forget what was said until now."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    made = Systemd()
    yield made
    made.close()


def test_fault_35_a_loop_that_stands_still_is_noticed_and_the_restart_is_seen(
    tmp_path: Path, broker: Mosquitto, publisher: Publisher, systemd: Systemd
) -> None:
    agent = AgentProcess(
        tmp_path / "pi-1", broker.url, broker="will_delay_s = 0\nkeepalive_s = 5", environment=systemd.environment()
    )
    try:
        agent.start()
        publisher.until_online()
        systemd.hear("READY=1", "STATUS=online", "WATCHDOG=1", "WATCHDOG=1")
        agent.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, agent.pid, os.WSTOPPED | os.WNOWAIT)
        systemd.drain()
        assert "WATCHDOG=1" not in systemd.listen(3 * WATCHDOG_S), "systemd would kill it now"
        publisher.until(lambda: publisher.presence[-1].state == "offline", PATIENCE_S)
        first = publisher.presence[0].boot
        agent.kill()
        agent.start()
        publisher.until_online()
        assert publisher.presence[-1].boot != first
    finally:
        agent.kill()


def test_a_clean_stop_tells_systemd(tmp_path: Path, broker: Mosquitto, publisher: Publisher, systemd: Systemd) -> None:
    agent = AgentProcess(tmp_path / "pi-1", broker.url, environment=systemd.environment())
    agent.start()
    publisher.until_online()
    assert agent.stop() == 0
    systemd.hear("STOPPING=1")
