"""A run is stopped from another thread, and the GIL is free while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.native.wat import LOOP, compile_wat, entry, guest
from waspi._wasmer import Canceller
from waspi.errors import CanceledError, TimeLimitError

ENDLESS = entry(f"{LOOP} (i32.const 0)")
# Sleeps for an hour in poll_oneoff on the monotonic clock.
ASLEEP = """(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
    (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))"""


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Start ``work``, and return when its thread runs."""
    caught: list[BaseException] = []
    started = threading.Event()

    def body() -> None:
        started.set()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            caught.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    assert started.wait(120)
    return thread, caught


@pytest.mark.parametrize("text", [ENDLESS, ASLEEP], ids=["loop", "sleep"])
def test_cancel_from_another_thread(text: str) -> None:
    """Were the GIL held, this thread could not cancel, and the deadline would end the run."""
    canceller = Canceller()
    module = compile_wat(text)
    thread, caught = in_thread(lambda: module.run(b"", canceller=canceller, time_ms=20_000))
    canceller.cancel()
    thread.join(120)
    assert [type(error) for error in caught] == [CanceledError]


def test_a_sleeping_guest_meets_its_deadline() -> None:
    with pytest.raises(TimeLimitError):
        compile_wat(ASLEEP).run(b"", time_ms=30)


def test_cancel_before_the_run() -> None:
    canceller = Canceller()
    canceller.cancel()
    canceller.cancel()
    module = compile_wat(guest())
    for attempt in (module.run, lambda _, **terms: module.instantiate(**terms)):
        with pytest.raises(CanceledError, match="canceled"):
            attempt(b"", canceller=canceller)
    canceller.reset()
    assert module.run(b"x", canceller=canceller).output == b"x"


def test_a_late_cancel_does_not_reach_the_next_run_of_the_thread() -> None:
    canceller = Canceller()
    module = compile_wat(guest())
    module.run(b"", canceller=canceller)
    canceller.cancel()
    assert module.run(b"x").output == b"x"


def test_one_canceller_stops_several_runs() -> None:
    canceller = Canceller()
    module = compile_wat(ENDLESS)
    runs = [in_thread(lambda: module.run(b"", canceller=canceller, time_ms=20_000)) for _ in range(3)]
    canceller.cancel()
    for thread, caught in runs:
        thread.join(120)
        assert [type(error) for error in caught] == [CanceledError]


def test_cancel_of_an_instance() -> None:
    canceller = Canceller()
    instance = compile_wat(ENDLESS).instantiate(canceller=canceller, time_ms=20_000)
    thread, caught = in_thread(lambda: instance.run(b""))
    canceller.cancel()
    thread.join(120)
    assert [type(error) for error in caught] == [CanceledError]


def test_cancel_is_never_missed() -> None:
    """At any moment of a run: the watchdog repeats it until the run has ended."""
    module = compile_wat(ENDLESS)
    for _ in range(300):
        canceller = Canceller()
        thread, caught = in_thread(lambda canceller=canceller: module.run(b"", canceller=canceller, time_ms=20_000))  # type: ignore[misc]  # a default binds the loop's variable
        canceller.cancel()
        thread.join(120)
        assert [type(error) for error in caught] == [CanceledError]
