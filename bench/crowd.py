"""Fifty devices that update at once, as far as broker and depot can tell: their sessions, in one loop of one thread."""

from __future__ import annotations

import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings
from waspi.protocol.depot import MAX_RANGE, RangeRequest, decode_range_chunk, encode_range_request
from waspi.protocol.topics import Topics
from waspi.updates.source import Range, ranges_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from waspi.errors import BrokerError

PATIENCE_S: Final = 120.0
WINDOW: Final = 8
"""Ranges that a device asks for at once, as the updater does."""
TOPICS: Final = Topics("default")


@dataclass(frozen=True, slots=True)
class File:
    """What everybody wants: a file of the repository."""

    path: str
    length: int


class Member:
    """One device."""

    def __init__(self, url: str, number: int, selector: selectors.BaseSelector) -> None:
        self._id = f"crowd-{number}"
        self._filters = [f"{TOPICS.root}/device/{self._id}/chunk/+", f"raw/{number}"]
        settings = LinkSettings(
            BrokerAddress.parse(url), self._id, clean_start=True, session_expiry_s=0, receive_maximum=32
        )
        self.link = Link(settings, selector, self, time.monotonic)
        self.ready = False
        self.busy = False
        """Whether there is something to be written."""
        self.bytes = 0
        self._file = File("", 0)
        self._waiting: list[Range] = []

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:  # noqa: ARG002 - the port's
        """Listen for ranges and for raw parts."""
        self.link.subscribe(self._filters)

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:  # noqa: ARG002 - the port's
        """Give up: over a broken link there is nothing to measure."""
        raise reason

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Ready to go."""
        if refused is not None:
            raise refused
        self.ready = True

    def on_published(self, token: int, refused: BrokerError | None) -> None:  # noqa: ARG002 - the port's
        """A request that nobody takes would never be answered."""
        if refused is not None:
            raise refused

    def on_message(self, message: Incoming) -> None:
        """Count what came; ask for the next range."""
        self.link.acknowledge(message)
        self.busy = True
        if message.topic.startswith("raw/"):
            self.bytes += len(message.payload)
            return
        chunk = decode_range_chunk(message.payload)
        if chunk.error is not None:
            raise RuntimeError(f"the depot refuses: {chunk.error.message}")
        self.bytes += len(chunk.data)
        self._ask(1)

    def want(self, file: File) -> None:
        """Begin to ask for a file."""
        self._file = file
        self._waiting = ranges_of(file.length, MAX_RANGE)[::-1]
        self.busy = True
        self._ask(WINDOW)

    def _ask(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            each = self._waiting.pop()
            request = RangeRequest("u-bench", self._file.path, each.offset, each.length)
            self.link.publish(Outgoing(TOPICS.depot_get(self._id), encode_range_request(request)))


class Crowd:
    """All of them; a context manager."""

    def __init__(self, url: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.members = [Member(url, number, self._selector) for number in range(count)]

    def __enter__(self) -> Self:
        for member in self.members:
            member.link.start()
        while not all(member.ready for member in self.members):
            self._step()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.link.close()
        self._selector.close()

    def fetched(self, file: File) -> float:
        """Bytes a second, all devices together, when each fetches ``file`` from the depots."""

        def begin() -> None:
            for member in self.members:
                member.want(file)

        return self._until_all_have(file.length, begin)

    def pushed(self, length: int) -> float:
        """Bytes a second when a publisher, once it is told to go, sends ``length`` bytes to each."""
        return self._until_all_have(length, self._say_go)

    def _say_go(self) -> None:
        self.members[0].link.publish(Outgoing("raw/go", b""))
        self.members[0].link.flush()

    def _until_all_have(self, length: int, begin: Callable[[], object]) -> float:
        for member in self.members:
            member.bytes = 0
        started = time.perf_counter()
        begin()
        while any(member.bytes < length for member in self.members):
            if time.perf_counter() - started > PATIENCE_S:
                raise TimeoutError(f"fifty devices did not get {length} bytes each in {PATIENCE_S:.0f} s")
            self._step()
        return length * len(self.members) / (time.perf_counter() - started)

    def _step(self) -> None:
        for member in self.members:
            if member.busy or not member.ready:
                member.busy = False
                member.link.flush()
        for key, _ in self._selector.select(1):
            key.data()
