"""The repository over MQTT: ranges asked of the depots through the agent, which has the device's one MQTT session.

A second session would need a second identity at the broker: where the certificate names the client, as in the set-up
that ``waspi broker config`` writes, two connections of one device end each other. So the agent publishes the requests
and hands the answers on, unread, and the updater needs neither network nor credentials.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError

from waspi.errors import EnvelopeError
from waspi.protocol.depot import (
    RangeChunk,
    RangeRequest,
    RefusalKind,
    decode_range_chunk,
    encode_range_request,
)
from waspi.updates import errand
from waspi.updates.answer_pace import AnswerPace
from waspi.updates.range_window import FIRST_WINDOW, RangeWindow
from waspi.updates.source import Piece, Range

_NOT_FOUND: Final = 404
_BUSY_S: Final = 1.0
_GARBAGE: Final = 1000
"""Answers that are none, and the depot (or whoever writes to its topics) is given up."""

_log = logging.getLogger(__name__)


class DepotSource:
    """Asks through ``sock``, a socket that keeps messages apart."""

    def __init__(self, sock: socket.socket, device: str, window: int) -> None:
        self._sock = sock
        self._device = device
        self._window = window
        self._token = f"u-{os.urandom(8).hex()}"
        self._garbage = 0
        self._pace = AnswerPace()
        self._buffer = bytearray(errand.MAX_BYTES)  # a new one for each message costs 60 us
        self._wire_bytes = 0
        self.requests = 0
        """Ranges that were asked for."""

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        """See :class:`waspi.updates.source.Source`."""
        before = time.monotonic()
        window = RangeWindow(wanted, self._pace.first_window(self._window, FIRST_WINDOW), self._window, before)
        while not window.done:
            for each in window.ask(time.monotonic()):
                self._ask(path, each)
            if window.given_up:
                raise DownloadError(f"no depot answers for {path}; is one running on this broker (waspi depot)?")
            chunk = self._receive(window.deadline() - time.monotonic())
            if chunk is None:
                continue
            if chunk.token != self._token or chunk.path != path:
                continue  # a late answer for an earlier file
            self._pace.came(self._wire_bytes, time.monotonic() - before)
            if chunk.error is not None:
                self._refused(window, path, chunk)
            else:
                piece = self._check(window, chunk)
                if piece is not None:
                    yield piece
            before = time.monotonic()

    def _ask(self, path: str, wanted: Range) -> None:
        request = RangeRequest(self._device, self._token, path, wanted.offset, wanted.length, self._pace.accept)
        self._sock.settimeout(None)
        self._sock.send(errand.DEPOT + encode_range_request(request))
        self.requests += 1

    def _receive(self, longest_s: float) -> RangeChunk | None:
        self._sock.settimeout(max(0.001, min(longest_s, 3600.0)))
        try:
            size = self._sock.recv_into(self._buffer)
        except TimeoutError:
            return None
        if not size:
            raise DownloadError("the agent is gone")
        if self._buffer[:1] != errand.DEPOT:
            return None
        self._wire_bytes = size
        try:
            return decode_range_chunk(bytes(memoryview(self._buffer)[1:size]))
        except EnvelopeError as error:
            self._spoiled(error.message)
            return None

    def _refused(self, window: RangeWindow, path: str, chunk: RangeChunk) -> None:
        refusal = chunk.error
        if refusal is None:
            return
        if refusal.kind is RefusalKind.BUSY:
            window.put_off(chunk.offset, time.monotonic(), max(_BUSY_S, refusal.retry_ms / 1000))
        elif refusal.kind is RefusalKind.NOT_FOUND:
            raise DownloadHTTPError(f"the depot has no {path}", _NOT_FOUND)
        else:
            raise DownloadError(f"the depot refuses {path}: {refusal.message}")

    def _check(self, window: RangeWindow, chunk: RangeChunk) -> Piece | None:
        """The chunk, when somebody waits for it and it is as long as it can be."""
        found = window.take(chunk.offset, time.monotonic())
        if found is None:
            return None  # asked for twice, or never
        if len(chunk.data) != min(found.length, chunk.total - chunk.offset):
            raise DownloadError(f"the depot sent {len(chunk.data)} bytes for a range of {found.length}")
        return Piece(chunk.offset, chunk.total, chunk.data)

    def _spoiled(self, why: str) -> None:
        self._garbage += 1
        _log.debug("%s", why)
        if self._garbage >= _GARBAGE:
            raise DownloadError(f"what comes as answers of a depot is none: {why}")
