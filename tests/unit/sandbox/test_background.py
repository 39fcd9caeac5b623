"""Work on a thread of its own, told on the loop's."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from waspi.errors import StorageError
from waspi.sandbox.background import Background


class Loop:
    """A selector that is turned by hand, and what was told."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.background = Background(self.selector)
        self.told: list[tuple[object, Exception | None]] = []
        self.threads: set[threading.Thread] = set()

    def then(self, result: object, error: Exception | None) -> None:
        self.threads.add(threading.current_thread())
        self.told.append((result, error))

    def until(self, count: int) -> None:
        while len(self.told) < count:
            for key, _ in self.selector.select(60):
                key.data()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.background.close()
    assert not made.selector.get_map()
    made.selector.close()
    assert all(thread.name != "waspi-disk" for thread in threading.enumerate())


def test_work_is_done_elsewhere_in_order_and_told_here(loop: Loop) -> None:
    threads = []

    def work(number: int) -> int:
        threads.append(threading.current_thread())
        return number

    for number in range(50):
        loop.background.do(partial(work, number), loop.then)
    loop.until(50)
    assert [result for result, _ in loop.told] == list(range(50))
    assert loop.threads == {threading.current_thread()}
    assert threading.current_thread() not in threads
    assert not loop.selector.get_map()  # an idle loop waits for nothing


def test_an_error_goes_to_whoever_asked(loop: Loop) -> None:
    def fail() -> None:
        raise StorageError("the disk is full")

    loop.background.do(fail, loop.then)
    loop.background.do(lambda: "goes on", loop.then)
    loop.until(2)
    assert str(loop.told[0][1]) == "the disk is full"
    assert loop.told[1] == ("goes on", None)


def test_more_work_may_be_asked_for_where_it_is_told(loop: Loop) -> None:
    def again(result: int | None, error: Exception | None) -> None:
        loop.then(result, error)
        if len(loop.told) < 20:
            loop.background.do(lambda: len(loop.told), again)

    loop.background.do(lambda: 0, again)
    loop.until(20)
    assert [result for result, _ in loop.told] == list(range(20))


def test_what_is_under_way_ends_before_close_returns_and_the_rest_is_forgotten(loop: Loop) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go_on.wait()
        ended.append("slow")

    loop.background.do(slow, loop.then)
    loop.background.do(lambda: ended.append("never"), loop.then)
    begun.wait()
    threading.Timer(0.05, go_on.set).start()
    loop.background.close()
    assert ended == ["slow"]
    assert loop.told == []
