"""systemd's socket may be gone, or never have been there: the agent works on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from waspi.device.notify import Notifier


@pytest.mark.parametrize("address", ["/nowhere/notify", "@waspi-nobody-listens", "x" * 200, "a\0b"])
def test_a_socket_that_cannot_be_reached_is_told_and_stops_nothing(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, lambda: 0.0)
    notifier.ready()
    notifier.feed(1.0)
    notifier.close()
    assert notifier.interval_s is None
    (told,) = caplog.messages
    assert "cannot be reached" in told


def test_systemd_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}, lambda: 0.0)
        notifier.ready()
        notifier.feed(1.0)
        notifier.close()
        assert [systemd.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
