"""Frames out of a stream, however it is cut, and what a dead child has left in it."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waspi.errors import WorkerError
from waspi.sandbox import frame
from waspi.sandbox.channel import Channel

LARGEST = 200_000


class Ends:
    """A channel, the child's end of it, and what came."""

    def __init__(self) -> None:
        ours, self.child = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        self.frames: list[tuple[int, int, bytes]] = []
        self.ended: list[str | None] = []
        self.expected = 1_000_000
        self.channel = Channel(self.selector, ours, self._judge, self.ended.append, LARGEST)

    def _judge(self, kind: int, seq: int, body: memoryview) -> Callable[[], None]:
        if kind == frame.HELLO:
            raise WorkerError("no greeting is expected")
        said = (kind, seq, bytes(body))
        self.expected -= 1
        self.channel.max_body = LARGEST if self.expected else -1
        return lambda: self.frames.append(said)

    def hear(self) -> None:
        """Read until nothing is left."""
        while ready := self.selector.select(0):
            for key, _ in ready:
                key.data()

    def say(self, data: bytes) -> None:
        self.child.setblocking(False)
        while data:
            try:
                data = data[self.child.send(data) :]
            except BlockingIOError:
                self.hear()

    def close(self) -> None:
        self.channel.close()
        self.child.close()
        self.selector.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def packed(seq: int, body: bytes, kind: int = frame.ANSWER) -> bytes:
    return frame.pack(kind, seq, body)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([0, 1, 11, 500, 65_536, 150_000]), min_size=1, max_size=5),
    st.lists(st.integers(1, 100_000), max_size=6),
)
def test_frames_come_whole_however_the_stream_is_cut(sizes: list[int], cuts: list[int]) -> None:
    ends = Ends()
    try:
        bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
        stream = b"".join(packed(number, body) for number, body in enumerate(bodies))
        for cut in cuts:
            ends.say(stream[:cut])
            ends.hear()
            stream = stream[cut:]
        ends.say(stream)
        ends.hear()
        assert ends.frames == [(frame.ANSWER, number, body) for number, body in enumerate(bodies)]
        assert ends.ended == []
    finally:
        ends.close()


def test_a_frame_byte_by_byte(ends: Ends) -> None:
    for byte in packed(1, b"body") + packed(2, b""):
        ends.say(bytes([byte]))
        ends.hear()
    assert ends.frames == [(frame.ANSWER, 1, b"body"), (frame.ANSWER, 2, b"")]


def test_more_than_was_asked_for_ends_it_after_what_was(ends: Ends) -> None:
    ends.expected = 2
    ends.say(packed(1, b"a") + packed(2, b"b") + packed(3, b"c"))
    ends.hear()
    assert [seq for _, seq, _ in ends.frames] == [1, 2]
    assert ends.ended == ["it sent more than it was asked for"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no frame"),
        (frame.HEADER.pack(frame.MAGIC, frame.ANSWER, 1, LARGEST + 1), "too large"),
        (packed(1, b"", frame.HELLO), "no greeting"),
    ],
)
def test_what_is_no_frame_ends_it(ends: Ends, data: bytes, why: str) -> None:
    ends.say(data)
    ends.hear()
    assert len(ends.ended) == 1
    assert why in (ends.ended[0] or "")


@pytest.mark.parametrize("rest", [b"", b"\x50", packed(9, bytes(100))[:50], packed(9, bytes(90_000))[:80_000]])
def test_the_end_of_the_stream(ends: Ends, rest: bytes) -> None:
    ends.say(packed(1, b"a") + rest)
    ends.hear()
    ends.child.shutdown(socket.SHUT_WR)
    ends.hear()
    assert len(ends.frames) == 1
    assert ends.ended == ["it ended in the middle of a frame" if rest else None]


def test_frames_that_wait_go_out_in_one_piece(ends: Ends) -> None:
    ends.channel.send((b"first",))
    ends.channel.hold((b"sec", b"ond"))
    ends.channel.hold((b"third",))
    assert ends.channel.sending
    assert ends.child.recv(100) == b"first"
    ends.channel.flush()
    assert not ends.channel.sending
    assert ends.child.recv(100) == b"secondthird"
