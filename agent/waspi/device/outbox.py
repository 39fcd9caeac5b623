"""From the journal's outbox to the broker: within its window, in order, until it says that it has them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from waspi.backoff import Backoff
from waspi.device.job import answer_to
from waspi.errors import BrokerError, EnvelopeError, UndeliverableError, UnheardError, WaspiError
from waspi.journal.operations import Replace, Sent
from waspi.journal.reader import Reader
from waspi.journal.rows import OutboxEntry, OutboxRow
from waspi.journal.writer import Writer
from waspi.model.result import JobError
from waspi.model.state import JobState
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.chunk import OVERHEAD, split
from waspi.protocol.result_envelope import CONTENT_TYPE, decode_result, encode_result

_HELD = 256
"""Rows that wait in memory; the others wait on the disk."""
_HELD_BYTES = 4 * 1024 * 1024
_PASSING = 256
"""Answers and states that no journal keeps and that wait for the broker's window; others are not sent."""
_PASSING_BYTES = 1024 * 1024
_HEADERS = 512
"""Bytes of a packet that are neither its payload nor the strings of its properties, more than enough."""
_SMALLEST_CHUNK = 512
_REFUSED_ALL = 8
"""Refusals in a row after which the broker seems to refuse everything, and all rows wait."""
_REFUSALS = 36
"""Refusals of one row after which it is given up, about a day; the journal keeps the result for whoever asks again."""
_GATHERING_S = 60.0
"""Seconds of a connection in which subscribers may still be on their way back, as after a broker's restart."""
_REFUSED_S = 3600.0
"""Seconds between two tries to have a row taken, at most."""
_UNHEARD_S = 8.0
"""Seconds between two tries to be heard, at most."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    """A row whose messages are in flight."""

    row: OutboxRow
    open: int
    early: bool
    """Whether it was sent while subscribers may have been on their way back."""
    refused: BrokerError | None = None


@dataclass(slots=True)
class _Refusal:
    """A row that the broker does not take."""

    backoff: Backoff
    due: float = 0.0
    count: int = 0


class Outbox:
    """Publishes rows of the outbox, and passing messages that no journal keeps."""

    def __init__(self, device: str, link: Link, reader: Reader, writer: Writer, clock: Callable[[], float]) -> None:
        self._device = device
        self._link = link
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._rows: deque[OutboxRow] = deque()
        self._held_bytes = 0
        self._last = 0
        self._more_on_disk = True
        self._sending: dict[int, _Sending] = {}
        self._tokens: dict[int, int] = {}
        self._sent: set[int] = set()
        self._passing: deque[tuple[Outgoing, Incoming | None]] = deque()
        self._passing_bytes = 0
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._sending_bytes = 0
        self._refusals: dict[int, _Refusal] = {}
        self._acknowledged: set[str] = set()
        self._refused_in_a_row = 0
        self._backoff = Backoff(first=1.0, longest=60.0)
        self._not_before = 0.0
        self._gathered_at = 0.0
        """When a subscriber that is not there is no longer waited for."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits for the broker."""
        return not (self._rows or self._sending or self._passing or self._more_on_disk)

    def add(self, row: OutboxRow) -> None:
        """A row that was just committed."""
        if row.id <= self._last:
            return  # a load found it on the disk before its commit was told
        size = len(row.entry.payload)
        if self._more_on_disk or len(self._rows) >= _HELD or self._held_bytes + size > _HELD_BYTES:
            self._more_on_disk = True
        else:
            self._rows.append(row)
            self._held_bytes += size
            self._last = row.id

    @property
    def takes(self) -> bool:
        """Whether there is room for one more message that no journal keeps (``bool``)."""
        return len(self._passing) < _PASSING and self._passing_bytes < _PASSING_BYTES

    def say(self, message: Outgoing, request: Incoming | None = None) -> None:
        """Publish a message that need not survive a restart; ``request``, which it answers, is acknowledged with it.

        Offline it is dropped, and so it is when there is no room: who waits for an answer asks again, and memory stays
        bounded. Of retained messages the latest of a topic counts, and it always has room.
        """
        if not self._link.online:
            return
        if message.retain:
            self._passing = deque(each for each in self._passing if each[0].topic != message.topic)
        elif not self.takes:
            if request is not None:
                self._link.acknowledge(request)
            return
        self._passing.append((message, request))
        self._passing_bytes = (
            sum(len(each.payload) for each, _ in self._passing)
            if message.retain
            else (self._passing_bytes + len(message.payload))
        )

    def acknowledged(self, job_id: str) -> None:
        """The message of a plain job was acknowledged on this connection.

        A broker reads in order: when it answers for the job's result, which goes out later, it has that, too.
        """
        self._acknowledged.add(job_id)

    def on_online(self) -> None:
        """A new connection: what was in flight on the old one goes again, and what was refused is tried again."""
        self._tokens.clear()
        self._sending.clear()
        self._sending_bytes = 0
        self._refusals.clear()
        self._acknowledged.clear()
        self._refused_in_a_row = 0
        self._passing.clear()
        self._passing_bytes = 0
        self._chunks.clear()
        self._rows.clear()
        self._held_bytes = 0
        self._last = 0
        self._more_on_disk = True
        self._not_before = 0.0
        self._gathered_at = self._clock() + _GATHERING_S

    def pump(self, most: int = 1 << 30) -> bool:
        """Publish what the window has room for, ``most`` messages of it; whether there may be more."""
        link = self._link
        for _ in range(most):
            if link.room <= 0:
                return False
            if self._chunks:
                token, payload = self._chunks.popleft()
                self._send_chunk(token, payload)
            elif self._passing:
                message, request = self._passing.popleft()
                self._passing_bytes -= len(message.payload)
                try:
                    link.publish(message)
                except WaspiError as error:
                    _log.warning("an answer to %s is not sent: %s", message.topic, error.message)
                if request is not None:
                    link.acknowledge(request)
            elif self._clock() < self._not_before or self._sending_bytes >= _HELD_BYTES:
                return False
            elif self._rows:
                row = self._rows.popleft()
                self._held_bytes -= len(row.entry.payload)
                self._send(row)
            elif self._refusals and (again := self._refused_and_due()) is not None:
                self._send(again)
            elif not self._more_on_disk or not self._load():
                return False
        return True

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """The broker answered."""
        row_id = self._tokens.pop(token, None)
        if row_id is None:
            if refused is not None and not isinstance(refused, UnheardError):
                _log.warning("%s", refused.message)
            return
        sending = self._sending[row_id]
        sending.open -= 1
        sending.refused = sending.refused or refused
        if sending.open:
            return
        del self._sending[row_id]
        self._sending_bytes -= len(sending.row.entry.payload)
        if sending.refused is not None and sending.refused.final:
            self._replace(sending.row, sending.refused.message)
            return
        if sending.refused is not None and (sending.early or not isinstance(sending.refused, UnheardError)):
            self._on_refused(sending.row, sending.refused)
            return
        self._backoff.reset()
        self._refused_in_a_row = 0
        self._refusals.pop(row_id, None)
        self._done_with(sending.row, published=True)

    def next_deadline(self) -> float | None:
        """When :meth:`pump` wants to be called although nothing happened."""
        if not self._link.online:
            return None
        times = [each.due for row_id, each in self._refusals.items() if row_id not in self._sending]
        if self._rows or self._more_on_disk:
            times.append(0.0)
        if not times:
            return None
        due = max(min(times), self._not_before)
        waits = self._link.room <= 0 or self._sending_bytes >= _HELD_BYTES
        return None if waits and due <= self._clock() else due  # what waits goes on with the broker's next answer

    def _on_refused(self, row: OutboxRow, error: BrokerError) -> None:
        """The row stays on the disk and is tried again by and by; the others go on, unless all of them are refused."""
        longest_s = _UNHEARD_S if isinstance(error, UnheardError) else _REFUSED_S
        refusal = self._refusals.setdefault(row.id, _Refusal(Backoff(first=1.0, longest=longest_s)))
        refusal.count += 1
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= _REFUSED_ALL:
            self._not_before = self._clock() + min(self._backoff.next(), longest_s)
        if refusal.count >= _REFUSALS:
            _log.error("%s, %d times; the result for %s is given up", error.message, refusal.count, row.entry.topic)
            del self._refusals[row.id]
            self._done_with(row)
            return
        delay = refusal.backoff.next()
        refusal.due = self._clock() + delay
        if refusal.count == 1:
            _log.warning("%s: %s; the result stays and is sent again", row.entry.topic, error.message)

    def _refused_and_due(self) -> OutboxRow | None:
        now = self._clock()
        for row_id, refusal in list(self._refusals.items()):
            if refusal.due <= now and row_id not in self._sending:
                row = self._reader.message(row_id)
                if row is not None:
                    return row
                del self._refusals[row_id]
        return None

    def _done_with(self, row: OutboxRow, *, published: bool = False) -> None:
        job_id = row.entry.job_id or ""
        settles = published and job_id in self._acknowledged
        self._acknowledged.discard(job_id)
        self._sent.add(row.id)
        self._writer.enter(Sent(row.id, settles))

    def _replace(self, row: OutboxRow, why: str) -> None:
        """The broker can never take this row: a small result that says so takes its place, and holds up no other."""
        self._refusals.pop(row.id, None)  # whatever becomes of it, in this form it is not sent again
        job = self._reader.job(row.entry.job_id or "")
        before = decode_result(job.result) if job is not None and job.result else None
        if job is None or before is None or (before.error and before.error.kind == UndeliverableError.kind):
            _log.error("the result for %s is given up: %s", row.entry.topic, why)
            self._done_with(row)
            return
        _log.error("the result for %s is replaced by its reason: %s", row.entry.topic, why)
        told = JobError(UndeliverableError.fault, UndeliverableError.kind, f"the result cannot be delivered: {why}")
        result = replace(before, state=JobState.FAILED, outputs=(), log=b"", error=told)
        encoded = encode_result(result)
        entry = answer_to(job, result, encoded)
        if entry is None:
            self._done_with(row)
            return
        self._sent.add(row.id)  # in its present form it is not to be loaded again
        self._writer.enter(Replace(row.id, replace(job, state=JobState.FAILED, result=encoded), entry))

    def on_replaced(self, row: OutboxRow) -> None:
        """A small result stands on the disk in the place of one that the broker can never take."""
        self._sent.discard(row.id)
        self._rows.append(row)
        self._held_bytes += len(row.entry.payload)

    def on_forgotten(self, row_id: int) -> None:
        """The row is no longer on the disk."""
        self._sent.discard(row_id)

    def _load(self) -> bool:
        rows = self._reader.outbox(self._last, _HELD, max_bytes=_HELD_BYTES)
        for row in rows:
            self._last = row.id
            if row.id not in self._sent and row.id not in self._sending and row.id not in self._refusals:
                self._rows.append(row)
                self._held_bytes += len(row.entry.payload)
        self._more_on_disk = bool(rows)
        return bool(rows)

    def _send(self, row: OutboxRow) -> None:
        entry = row.entry
        largest = self._link.server.max_packet_bytes
        if largest is None or len(entry.payload) + _overhead(entry) <= largest:
            self._begin(row, 1)
            self._publish(row.id, entry, entry.payload)
            return
        overhead = _overhead(entry)
        if (
            entry.content_type != CONTENT_TYPE
            or entry.job_id is None
            or largest < overhead + OVERHEAD + _SMALLEST_CHUNK
        ):
            self._replace(
                row, f"its {len(entry.payload)} bytes fit into no packet of this broker, which takes {largest}"
            )
            return
        room = largest - overhead - OVERHEAD
        try:
            parts = list(split(entry.payload, job=entry.job_id, device=self._device, chunk_bytes=room))
        except EnvelopeError as error:
            self._replace(row, error.message)
            return
        self._begin(row, len(parts))
        self._chunks.extend((row.id, part) for part in parts)

    def _begin(self, row: OutboxRow, messages: int) -> None:
        self._sending[row.id] = _Sending(row, messages, self._clock() < self._gathered_at)
        self._sending_bytes += len(row.entry.payload)

    def _send_chunk(self, row_id: int, payload: bytes) -> None:
        sending = self._sending.get(row_id)
        if sending is not None:
            self._publish(row_id, sending.row.entry, payload)

    def _publish(self, row_id: int, entry: OutboxEntry, payload: bytes) -> None:
        message = Outgoing(
            entry.topic, payload, 1, False, None, entry.correlation, None, entry.content_type, entry.user_properties
        )
        try:
            self._tokens[self._link.publish(message)] = row_id
        except BrokerError as error:  # what MQTT cannot say is refused before it leaves
            sending = self._sending.pop(row_id)
            self._sending_bytes -= len(sending.row.entry.payload)
            self._replace(sending.row, error.message)


def _overhead(entry: OutboxEntry) -> int:
    texts = (entry.topic, entry.content_type or "", *(text for pair in entry.user_properties for text in pair))
    return sum(len(text.encode()) for text in texts) + len(entry.correlation or b"") + _HEADERS
