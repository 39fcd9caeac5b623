"""A broker that accepts a client and then says whatever the test wants."""

from __future__ import annotations

import socket
import threading

CONNACK = b"\x20\x03\x00\x00\x00"
"""MQTT 5 CONNACK: success, no session, no properties."""


class HostileBroker:
    """Takes connections; after each CONNECT it sends CONNACK and then ``words``.

    When the client says more, it is noted in :attr:`said`, and ``answer`` is sent, once. Then the line is kept open, or
    closed if the broker ``hangs_up``.
    """

    def __init__(self, words: bytes, *, greeting: bytes = CONNACK, answer: bytes = b"", hangs_up: bool = False) -> None:
        self._words = words
        self._greeting = greeting
        self._answer = answer
        self._hangs_up = hangs_up
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self.said = b""
        """What the clients said after CONNECT."""
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(peer)
            self._threads.append(threading.Thread(target=self._speak, args=(peer,), daemon=True))
            self._threads[-1].start()

    def _speak(self, peer: socket.socket) -> None:
        try:
            peer.recv(4096)
            peer.sendall(self._greeting + self._words)
            answer = self._answer
            while heard := peer.recv(65_536):
                self.said += heard
                peer.sendall(answer)
                answer = b""
                if self._hangs_up:
                    peer.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has left: that is what the test is about

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._open:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already
        for thread in self._threads:
            thread.join(10)
        for peer in self._open:
            peer.close()
