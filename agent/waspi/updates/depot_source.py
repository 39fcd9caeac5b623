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
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError

from waspi.errors import EnvelopeError
from waspi.protocol.depot import (
    ZLIB,
    RangeChunk,
    RangeRequest,
    Refusal,
    RefusalKind,
    decode_range_chunk,
    encode_range_request,
)
from waspi.protocol.ids import shown
from waspi.protocol.repository_path import is_repository_path
from waspi.updates import updater_messages
from waspi.updates.range_window import FIRST_WINDOW, RangeWindow
from waspi.updates.source import Piece, Range

_NOT_FOUND: Final = 404
_MOST_LACKING: Final = 64
_ROOT: Final = ".root.json"
_BUSY_S: Final = 1.0
_GARBAGE: Final = 1000
"""Answers that are none, and the depot (or whoever writes to its topics) is given up."""

NEAR_S: Final = 0.02
"""An answer within this comes over no modem and no satellite: one of 64 KiB takes a link of 25 Mbit/s so long."""
FAST_BYTES_S: Final = 4 * 1024 * 1024
TELLING_BYTES: Final = 8 * 1024
"""Of an answer whose time says something about the link's width."""

_log = logging.getLogger(__name__)


class AnswerPace:
    """How fast the way to the depots is, by what came over it: no I/O, the times come in.

    It decides two things. Ranges are asked for packed unless the way is fast, where packing and unpacking take longer
    than what they save (2 ms for a range of 64 KiB). And a file's first window is small unless the way is known to be
    short: a slow one would be full for a minute with what nobody may want any more.
    """

    def __init__(self) -> None:
        self._near = False
        self._wide: bool | None = None

    def came(self, size: int, seconds: float) -> None:
        """An answer of ``size`` bytes came ``seconds`` after the request, or after the answer before it."""
        self._near |= seconds <= NEAR_S
        if size >= TELLING_BYTES:
            self._wide = size > FAST_BYTES_S * seconds

    @property
    def fast(self) -> bool:
        """Whether much gets through; until something large came, whether any answer came at once."""
        return self._near if self._wide is None else self._wide

    @property
    def accept(self) -> tuple[str, ...]:
        """The codings to ask for."""
        return () if self.fast else (ZLIB,)

    def first_window(self, most: int, careful: int) -> int:
        """How many ranges to ask for at once when a file begins: ``most``, or ``careful`` while nothing is known."""
        return most if self.fast else min(careful, most)


class DepotLine:
    """Which depot is asked: the first in the line that is not silent. At the line's end all are asked at once.

    That is how a device finds a depot whose announcement it has not seen: some brokers keep retained messages from
    subscriptions with a wildcard.
    """

    def __init__(self, depots: Iterable[str]) -> None:
        self._line = deque([*depots, ""])
        self._answered = False
        self.silent: set[str] = set()
        """Depots that did not answer."""

    @property
    def first(self) -> str:
        """The one to ask; empty: all."""
        return self._line[0]

    def fell_silent(self) -> None:
        """The one that was asked does not answer."""
        if self.first:
            self.silent.add(self.first)
        self._turn()

    def heard(self, depot: str) -> None:
        """An answer of ``depot`` came: it is asked from now on, unless the one that is asked answers itself."""
        self.silent.discard(depot)
        if depot != self.first and not self._answered:
            if depot in self._line:
                self._line.remove(depot)
            self._line.appendleft(depot)
        self._answered = True

    def lacks(self, depot: str, lacking: set[str]) -> bool:
        """``depot`` does not have a file, as those in ``lacking``, which it joins: whether another one may have it."""
        lacking.add(depot)
        if depot == self.first:
            self._turn()
        return len(lacking) <= _MOST_LACKING and not lacking.issuperset(filter(None, self._line))

    def _turn(self) -> None:
        self._line.rotate(-1)
        self._answered = False


class DepotSource:
    """Asks through ``sock``, a socket that keeps messages apart."""

    def __init__(self, sock: socket.socket, depots: Iterable[str], window: int) -> None:
        """Ask ``depots`` in that order, up to ``window`` ranges at once."""
        self._sock = sock
        self.line = DepotLine(depots)
        self._window = window
        self._token = f"u-{os.urandom(8).hex()}"
        self._garbage = 0
        self._pace = AnswerPace()
        self._buffer = bytearray(updater_messages.MAX_BYTES)  # a new one for each message costs 60 us
        self._wire_bytes = 0
        self.requests = 0
        """Ranges that were asked for."""

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        """See :class:`waspi.updates.source.Source`."""
        if not is_repository_path(path):  # of a delegated role, say: no depot serves it, and none would answer
            raise DownloadHTTPError(f"a depot serves no file of the name {shown(path)}", _NOT_FOUND)
        before = time.monotonic()
        window = RangeWindow(wanted, self._pace.first_window(self._window, FIRST_WINDOW), self._window, before)
        silences, lacking = 0, set[str]()
        while not window.done:
            asked = window.ask(time.monotonic())
            if window.silences > silences:
                self.line.fell_silent()
            silences = window.silences
            for each in asked:
                self._ask(path, each)
            if window.given_up:
                raise DownloadError(f"no depot answers for {path}; is one running on this broker (waspi depot)?")
            chunk = self._receive(window.deadline() - time.monotonic())
            if chunk is None:
                continue
            if chunk.token != self._token or chunk.path != path:
                continue  # a late answer for an earlier file
            self._pace.came(self._wire_bytes, time.monotonic() - before)
            self.line.heard(chunk.depot)
            if chunk.error is not None:
                self._refused(window, chunk, chunk.error, lacking)
            else:
                piece = self._check(window, chunk)
                if piece is not None:
                    yield piece
            before = time.monotonic()

    def _ask(self, path: str, wanted: Range) -> None:
        request = RangeRequest(self._token, path, wanted.offset, wanted.length, self._pace.accept)
        self._sock.settimeout(None)
        self._sock.send(updater_messages.DEPOT + self.line.first.encode() + b"\0" + encode_range_request(request))
        self.requests += 1

    def _receive(self, longest_s: float) -> RangeChunk | None:
        self._sock.settimeout(max(0.001, min(longest_s, 3600.0)))
        try:
            size = self._sock.recv_into(self._buffer)
        except TimeoutError:
            return None
        if not size:
            raise DownloadError("the agent is gone")
        if self._buffer[:1] != updater_messages.DEPOT:
            return None
        self._wire_bytes = size
        try:
            return decode_range_chunk(bytes(memoryview(self._buffer)[1:size]))
        except EnvelopeError as error:
            self._spoiled(error.message)
            return None

    def _refused(self, window: RangeWindow, chunk: RangeChunk, refusal: Refusal, lacking: set[str]) -> None:
        """Ask again later, or another depot; ``lacking``: those that do not have the file."""
        if refusal.kind is RefusalKind.BUSY:
            window.put_off(chunk.offset, time.monotonic(), max(_BUSY_S, refusal.retry_ms / 1000))
        elif refusal.kind is RefusalKind.NOT_FOUND and chunk.path.endswith(_ROOT):
            raise DownloadHTTPError(f"the depot has no {chunk.path}", _NOT_FOUND)  # as usual: there is no newer one
        elif self.line.lacks(chunk.depot, lacking):
            window.put_off(chunk.offset, time.monotonic(), 0.0)
        elif refusal.kind is RefusalKind.NOT_FOUND:
            raise DownloadHTTPError(f"no depot has {chunk.path}", _NOT_FOUND)
        else:
            raise DownloadError(f"the depot refuses {chunk.path}: {refusal.message}")

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
