"""systemd's notification protocol (``sd_notify(3)``): a datagram to the socket that it names."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Tells systemd how the service does; silent where no systemd listens.

    ``environment`` holds ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` as systemd sets them.
    """

    def __init__(self, environment: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._socket: socket.socket | None = None
        address = environment.get("NOTIFY_SOCKET", "")
        if address:
            self._socket = _connected(address)
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval_s = int(usec) / 2_000_000 if usec.isdigit() and int(usec) and mine and self._socket else None
        """Seconds between two feedings of the watchdog, half of what systemd allows; ``None`` without a watchdog."""
        self._due = 0.0
        self._status = ""

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``, sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def next_deadline(self) -> float | None:
        """When the watchdog wants to be fed next."""
        return self._due if self.interval_s else None

    def feed(self, now: float) -> None:
        """Feed the watchdog if it is time."""
        if self.interval_s and now >= self._due:
            self._due = now + self.interval_s
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket:
            with contextlib.suppress(OSError):  # systemd is gone or busy: nobody to tell, no reason to stop working
                self._socket.send(text.encode())


def _connected(address: str) -> socket.socket | None:
    """A socket to ``address``; ``None`` where nobody listens, which is told and stops nothing."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        opened.connect("\0" + address[1:] if address.startswith("@") else address)
    except (OSError, ValueError) as error:  # ValueError: a null byte within
        opened.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _log.warning("NOTIFY_SOCKET names %s, which cannot be reached: %s; systemd is told nothing", address, reason)
        return None
    return opened
