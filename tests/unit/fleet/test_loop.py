"""The client's loop: whatever is handed over is done, and ending it races with nothing."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from waspi.errors import UsageError
from waspi.fleet.loop import LoopThread

if TYPE_CHECKING:
    from waspi.mqtt.link import Link

ROUNDS = 400


class StillLink:
    """A link that has nothing to say; ``close`` is the loop's last act on it."""

    def __init__(self) -> None:
        self.closed = False

    def tick(self, now: float) -> None:
        del now

    def flush(self) -> None:
        pass

    def next_deadline(self) -> float | None:
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads take turns as often as Python can, as they do on a board with one core."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def loop_of(link: StillLink) -> LoopThread:
    loop = LoopThread("test")
    loop.link = cast("Link", link)  # what the loop needs of a link, and no more
    loop.start()
    return loop


@pytest.mark.usefixtures("restless_threads")
def test_a_busy_loop_ends_in_order_and_does_all_that_was_handed_over() -> None:
    done = 0

    def act() -> None:
        nonlocal done
        done += 1

    for _ in range(ROUNDS):
        link = StillLink()
        loop = loop_of(link)
        loop.call(act)
        loop.call(act)
        loop.close()
        assert link.closed
    assert done == 2 * ROUNDS


@pytest.mark.usefixtures("restless_threads")
def test_calls_from_other_threads_are_either_refused_or_done() -> None:
    for _ in range(ROUNDS):
        loop = loop_of(StillLink())
        taken: list[int] = []
        done: list[int] = []

        def hand_over(loop: LoopThread = loop, taken: list[int] = taken, done: list[int] = done) -> None:
            try:
                for number in range(20):
                    loop.call(partial(done.append, number))
                    taken.append(number)
            except UsageError:
                return

        caller = threading.Thread(target=hand_over)
        caller.start()
        loop.close()
        caller.join()
        assert done == taken


def test_what_ends_the_loop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_of(StillLink())
    told: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    loop.on_end = told.put
    monkeypatch.setattr(threading, "excepthook", lambda args: told.put(args.exc_value))
    loop.call(partial([].pop))
    assert isinstance(told.get(), IndexError)
    assert isinstance(told.get(), IndexError)
    with pytest.raises(UsageError, match="closed") as refused:
        loop.call(lambda: None)
    assert isinstance(refused.value.__cause__, IndexError)
    loop.close()


def test_closed_before_it_began() -> None:
    link = StillLink()
    loop = LoopThread("test")
    loop.link = cast("Link", link)
    loop.close()
    loop.close()
    assert link.closed
