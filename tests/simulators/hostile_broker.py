"""A broker that accepts a client and then says whatever the test wants."""

from __future__ import annotations

import socket
import threading

CONNACK = b"\x20\x03\x00\x00\x00"
"""MQTT 5 CONNACK: success, no session, no properties."""


class HostileBroker:
    """Takes connections one by one; after each CONNECT it sends CONNACK and then ``words``, and keeps the line open."""

    def __init__(self, words: bytes, *, greeting: bytes = CONNACK) -> None:
        self._words = words
        self._greeting = greeting
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(peer)
            try:
                peer.recv(4096)
                peer.sendall(self._greeting + self._words)
            except OSError:
                continue  # the client has left: that is what the test is about

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._open:
            peer.close()
        self._thread.join(10)
