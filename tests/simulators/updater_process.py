"""The real updater in its own process; the test plays the agent, the broker and the depot."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from waspi.protocol.depot import (
    RangeChunk,
    RangeRequest,
    Refusal,
    RefusalKind,
    decode_range_request,
    encode_range_chunk,
)
from waspi.updates import updater_messages
from waspi.updates.updater_messages import CheckRequest, Finished, Message, decode_message, encode_message
from waspi.updates.updater_process import UpdaterProcess, command

DEPOT_ID = "depot-1"
Answerer = Callable[[RangeRequest, RangeChunk], Iterable[RangeChunk | bytes]]
"""What is sent for a request instead of the honest chunk: any number of chunks, or bytes that are none."""


def honestly(_request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk | bytes]:
    return (chunk,)


class UpdaterRun:
    """One run; ``requests`` is all that was asked for, ``said`` all that the updater said."""

    def __init__(
        self, folder: Path, task: CheckRequest, answer: Answerer = honestly, environment: dict[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._answer = answer
        self._selector = selectors.DefaultSelector()
        self.requests: list[RangeRequest] = []
        self.silent: set[str] = set()
        """Depots that do not answer."""
        self.asked: list[str] = []
        """Of which depot, for each of them."""
        self.said: list[Message] = []
        self.ended = ""
        variables = [f"{key}={value}" for key, value in (environment or {}).items()]
        program = ("/usr/bin/env", *variables, *command())
        self._updater = UpdaterProcess(self._selector, program, self._on_message, self._on_end)
        self._updater.send(encode_message(task))

    @property
    def last_word(self) -> Finished | None:
        return next((each for each in self.said if isinstance(each, Finished)), None)

    def of(self, kind: type[Message]) -> list[Message]:
        return [each for each in self.said if isinstance(each, kind)]

    def asked_for(self, suffix: str) -> list[int]:
        """Offsets that were asked for of files whose names end so."""
        return [each.offset for each in self.requests if each.path.endswith(suffix)]

    def finish(self, within_s: float = 120.0) -> UpdaterRun:
        """Run to its end."""
        self.until(lambda: bool(self.ended), within_s)
        self._selector.close()
        return self

    def until(self, holds: Callable[[], bool], within_s: float = 120.0) -> None:
        """Run until something holds, or it ends."""
        end = time.monotonic() + within_s
        while not self.ended and not holds():
            assert time.monotonic() < end, "the updater does not come to that"
            self.step()

    def step(self) -> None:
        """One round."""
        for key, _ in self._selector.select(0.05):
            key.data()

    def let_go(self) -> None:
        """Close the socket, as an agent that dies does."""
        self._updater._let_go()

    def kill(self) -> None:
        """SIGKILL."""
        self._updater.kill()

    def _on_message(self, data: bytes) -> None:
        if data[:1] != updater_messages.DEPOT:
            message = decode_message(data)
            assert message is not None
            self.said.append(message)
            return
        depot, _, body = data[1:].partition(b"\0")
        request = decode_range_request(body)
        self.asked.append(depot.decode())
        self.requests.append(request)
        if depot.decode() in self.silent:
            return
        for each in self._answer(request, self._honest(request, depot.decode() or DEPOT_ID)):
            payload = each if isinstance(each, bytes) else encode_range_chunk(each)
            self._updater.send(updater_messages.DEPOT + payload)

    def _honest(self, request: RangeRequest, depot: str) -> RangeChunk:
        path = self._folder / request.path
        if not path.exists():
            refusal = Refusal(RefusalKind.NOT_FOUND, "no such file")
            return RangeChunk(depot, request.token, request.path, request.offset, error=refusal)
        data = path.read_bytes()
        part = data[request.offset : request.offset + request.length]
        return RangeChunk(depot, request.token, request.path, request.offset, len(data), part)

    def _on_end(self, how: str) -> None:
        self.ended = how
