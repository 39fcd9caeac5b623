"""A depot's session with the broker."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from waspi.errors import BrokerError, EnvelopeError, NoAnswerError, RepositoryError, TopicError, UsageError
from waspi.fleet.depot.files import RangeRefused, RepositoryFiles, Timestamp
from waspi.fleet.depot.queueing import FairQueue, TokenBucket
from waspi.fleet.loop import LoopThread
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings, Tls, Will
from waspi.protocol import json_document
from waspi.protocol.depot import (
    ZLIB,
    RangeChunk,
    RangeRequest,
    Refusal,
    RefusalKind,
    decode_range_request,
    encode_range_chunk,
    encode_timestamp_notice,
)
from waspi.protocol.ids import check_id
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.topics import RouteKind, Topics

if TYPE_CHECKING:
    from types import TracebackType

    from waspi.mqtt.address import BrokerAddress

LOOK_EVERY_S = 1.0
"""How often the depot looks whether the timestamp was replaced."""
CHUNK_EXPIRY_S = 60
"""A device that was away so long asks again by itself."""
MOST_EACH = 64
"""Requests of one device that wait at once; more are told to come again."""
MOST_WAITING = 1024
_RECEIVE_MAXIMUM = 256
_WINDOW = 64
_MAX_PACKET_BYTES = 64 * 1024
_OVERHEAD = 512
_BUSY_RETRY_MS = 1000
_AT_ONCE = 256 * 1024
"""Bytes of answers after which they are written: the broker passes them on while the next are made."""


@dataclass(slots=True)
class DepotCounts:
    """What a depot has done since it started."""

    served: int = 0
    """Ranges."""
    data_bytes: int = 0
    """Bytes of files, before compression."""
    sent_bytes: int = 0
    """Bytes of payloads."""
    refused: int = 0
    dropped: int = 0
    """Messages that were no requests."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    device: str
    request: RangeRequest
    message: Incoming


def host_depot() -> str:
    """The id of a depot that is not given one: this machine's name, as far as an id can hold it."""
    return re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:63] or "depot"


class Depot:
    """Serves one repository. A context manager.

    Any number of depots with the same files share a fleet: each announces itself under its id ``depot``, and each
    device asks one of them, and another one when that is silent (:mod:`waspi.protocol.depot`).

    Memory is bounded by what it lets the broker hand over: up to 256 requests of 1 KiB, up to 64 answers of 64 KiB on
    their way, 8 MiB of compressed ranges. ``rate_bytes_s`` bounds what it sends; ``say`` is told what a person at its
    log wants to know.
    """

    def __init__(
        self,
        folder: Path,
        address: BrokerAddress,
        *,
        fleet: str = "default",
        tls: Tls | None = None,
        username: str | None = None,
        password: str | None = None,
        depot: str = "",
        rate_bytes_s: float = 32 * 1024 * 1024,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.counts = DepotCounts()
        self.ready = threading.Event()
        """Set while requests can come in."""
        self._ended = threading.Event()
        self._topics = Topics(fleet)
        self.id = check_id(depot or host_depot(), "depot")
        self._files = RepositoryFiles(folder)
        self._own = self._files.timestamp()
        self._announced: Timestamp | None = None
        self._expiry_told: Timestamp | None = None
        self._queue: FairQueue[_Waiting] = FairQueue(MOST_EACH, MOST_WAITING)
        self._sent: dict[int, Incoming | None] = {}
        self._bucket = TokenBucket(rate_bytes_s, rate_bytes_s / 4, time.monotonic())
        self._pausing = False
        self._unwritten = 0
        self._say = say
        settings = LinkSettings(
            address=address,
            client_id=f"depot-{self.id}-{secrets.token_hex(4)}",
            tls=tls,
            username=username,
            password=password,
            # No session that outlives the connection: the broker would give requests to a depot that is not there.
            clean_start=True,
            session_expiry_s=0,
            receive_maximum=_RECEIVE_MAXIMUM,
            max_packet_bytes=_MAX_PACKET_BYTES,
            window=_WINDOW,
            will=Will(self._topics.depot_timestamp(self.id), b"", delay_s=0),
        )
        self._loop = LoopThread(settings.client_id)
        self._link = Link(settings, self._loop.selector, self, time.monotonic)
        self._loop.link = self._link
        self._loop.on_end = self._on_end
        self._crash: BaseException | None = None
        self._first: BrokerError | None = None
        self._settled = threading.Event()

    def start(self, timeout: float = 15.0) -> Self:
        """Connect; raises the :class:`BrokerError` of the first attempt. Later losses mend themselves."""
        self._loop.call(self._link.start)
        self._loop.start()
        if not self._settled.wait(timeout) or self._first is not None:
            self.close()
            raise self._first or NoAnswerError(f"the broker did not answer in {timeout:g} s")
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the depot has ended; raises what ended it, if it did not end in order."""
        ended = self._ended.wait(timeout)
        if self._crash is not None:
            raise self._crash
        return ended

    def close(self) -> None:
        """Say that the depot is gone, end the session and close the files. Idempotent."""
        with contextlib.suppress(UsageError):  # closed before
            self._loop.call(self._leave)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what the link tells ----------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Subscribe."""
        del session_present, limits
        self._announced = None
        self._link.subscribe([*self._topics.depot_filters(self.id)])

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Forget what was asked: whoever still wants it asks again, and another depot may answer."""
        self.ready.clear()
        self._queue.clear()
        self._sent.clear()
        self._settle(reason)
        self._say(f"offline, next try in {retry_in_s:.0f} s: {reason.message}")

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Begin."""
        self._settle(refused)
        if refused is not None:
            self._say(f"the broker refuses the subscription: {refused.message}")
            return
        self.ready.set()
        self._say(f"serving timestamp {self._own.notice.version} in fleet {self._topics.fleet} as {self.id}")
        self._look(self._link.connection_number)

    def on_message(self, message: Incoming) -> None:
        """Take a request in."""
        try:
            route = self._topics.parse(message.topic)
            if route.kind is RouteKind.DEPOT_GET and not message.retain:
                self._take(_Waiting(route.device, decode_range_request(message.payload), message))
                return
        except (EnvelopeError, TopicError):
            self.counts.dropped += 1
        self._link.acknowledge(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """An answer is with the broker: its request is done, and there is room for the next."""
        del refused  # the device asks again for what does not come
        message = self._sent.pop(token, None)
        if message is not None:
            self._link.acknowledge(message)
        self._pump()

    # --- how it goes on ---------------------------------------------------------------------------------------------

    def _take(self, waiting: _Waiting) -> None:
        request = waiting.request
        key = (request.token, request.path, request.offset, request.length)
        if self._queue.has(waiting.device, key):
            self._link.acknowledge(waiting.message)  # asked again out of impatience; the first one is answered
            return
        if not self._queue.put(waiting.device, key, waiting):
            self.counts.refused += 1
            busy = Refusal(RefusalKind.BUSY, "too many requests at once", _BUSY_RETRY_MS)
            self._link.acknowledge(waiting.message)
            if self._link.room > 0:
                self._send(waiting, encode_range_chunk(self._chunk(request, error=busy)), None)
            return
        self._pump()

    def _pump(self) -> None:
        while len(self._queue) and self._link.room > 0 and not self._pausing:
            delay = self._bucket.wait(self._queue.peek().request.length, time.monotonic())
            if delay > 0 or self._unwritten >= _AT_ONCE:
                self._pausing = True
                self._loop.call_later(delay, self._resume)
                return
            waiting = self._queue.pop()
            self._send(waiting, self._answer(waiting.request), waiting.message)

    def _resume(self) -> None:
        self._pausing = False
        self._unwritten = 0  # the loop writes between two calls
        self._pump()

    def _answer(self, request: RangeRequest) -> bytes:
        try:
            data, total = self._files.read(request.path, request.offset, request.length)
        except RangeRefused as answer:
            self.counts.refused += 1
            return encode_range_chunk(self._chunk(request, error=answer.refusal))
        packed = self._files.packed(request.path, request.offset, data) if ZLIB in request.accept else None
        self.counts.served += 1
        self.counts.data_bytes += len(data)
        return encode_range_chunk(self._chunk(request, total=total, data=data), compressed=packed)

    def _chunk(
        self, request: RangeRequest, *, total: int = 0, data: bytes = b"", error: Refusal | None = None
    ) -> RangeChunk:
        return RangeChunk(self.id, request.token, request.path, request.offset, total, data, error)

    def _send(self, waiting: _Waiting, payload: bytes, asked: Incoming | None) -> None:
        topic = self._topics.chunk(waiting.device, waiting.request.token)
        message = Outgoing(topic, payload, expires_in_s=CHUNK_EXPIRY_S, content_type=CONTENT_TYPE)
        try:
            self._sent[self._link.publish(message)] = asked
        except BrokerError:
            if asked is not None:
                self._link.acknowledge(asked)
            return
        self._unwritten += len(payload)
        self._bucket.spend(len(payload) + _OVERHEAD)
        self.counts.sent_bytes += len(payload)

    def _look(self, connection: int) -> None:
        """Announce the timestamp when it is new, say when it has expired, and look again a little later."""
        if not self._link.online or self._link.connection_number != connection:
            return
        try:
            self._own = self._files.timestamp()
        except RepositoryError as error:
            self._say(error.message)
        if self._own != self._announced and self._link.room > 0:
            self._announced = self._own
            self._say(f"announcing timestamp {self._own.notice.version}, good until {self._own.expires:%Y-%m-%d}")
            self._announce(encode_timestamp_notice(self._own.notice))
        if self._own != self._expiry_told and self._own.expires <= datetime.now(UTC):
            self._expiry_told = self._own
            self._say(
                f"timestamp {self._own.notice.version} EXPIRED on {self._own.expires:%Y-%m-%d at %H:%M} UTC: devices "
                "take no update on it; sign it anew with: waspi repo publish"
            )
        self._loop.call_later(LOOK_EVERY_S, lambda: self._look(connection))

    def _leave(self) -> None:
        if self._announced is not None and self._link.online and self._link.room > 0:
            self._announce(b"")

    def _announce(self, payload: bytes) -> None:
        topic = self._topics.depot_timestamp(self.id)
        message = Outgoing(topic, payload, retain=True, content_type=json_document.CONTENT_TYPE)
        self._sent[self._link.publish(message)] = None

    def _settle(self, reason: BrokerError | None) -> None:
        if not self._settled.is_set():
            self._first = reason
            self._settled.set()

    def _on_end(self, error: BaseException | None) -> None:
        self._files.close()
        self._crash = error
        self._ended.set()
