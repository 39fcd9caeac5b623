"""A job that was handed over, and its answer to come."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING

from waspi.errors import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from waspi.errors import WaspiError
    from waspi.model.result import Result


class JobHandle:
    """One job on one device."""

    def __init__(self, job_id: str, device: str, explain: Callable[[], str], withdraw: Callable[[], None]) -> None:
        self.id = job_id
        self.device = device
        self.future: Future[Result] = Future()
        """Its callbacks run on the client's thread: they must be short and must not wait for other jobs."""
        self.taken = threading.Event()
        """Set when the broker has the job, or when it will never have it."""
        self._explain = explain
        self._withdraw = withdraw
        self.future.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the final result, whatever its state; ``timeout`` in seconds, ``None`` for ever.

        Raises :class:`NoAnswerError`, which says what is known of the device, when time is over (the job itself goes
        on; call again, or :meth:`forget` it), and what kept the job from being sent.
        """
        try:
            return self.future.result(timeout)
        except FutureTimeoutError as error:
            raise NoAnswerError(f"no answer for job {self.id} in {timeout:g} s: {self._explain()}") from error

    def wait_until_taken(self, timeout: float | None = None) -> None:
        """Wait until the broker has the job; raises :class:`NoAnswerError`, and what kept the job from being sent."""
        if not self.taken.wait(timeout):
            raise NoAnswerError(f"job {self.id} did not go out: {self._explain()}")
        if self.future.done():
            self.future.result()

    def fail(self, error: WaspiError) -> None:
        """End without a result, on the client's thread."""
        self.future.set_exception(error)
        self.taken.set()

    def forget(self) -> None:
        """Stop waiting for the answer: the job is not resent any more. The device is not told; see ``cancel``."""
        self._withdraw()


class GroupHandle:
    """One job on every device of a group."""

    def __init__(self, job_id: str, group: str, expected: Collection[str], withdraw: Callable[[], None]) -> None:
        self.id = job_id
        self.group = group
        self.expected = frozenset(expected)
        """Devices that are known to be in the group and online; others may answer too."""
        self.taken = threading.Event()
        """Set when the broker has the job, or when it will never have it."""
        self._answers: queue.SimpleQueue[Result | WaspiError] = queue.SimpleQueue()
        self._failure: WaspiError | None = None
        self._open = set(expected)
        self._withdraw = withdraw

    @property
    def missing(self) -> frozenset[str]:
        """Expected devices whose answer did not come so far."""
        return frozenset(self._open)

    def put(self, result: Result) -> bool:
        """Take a result in, on the client's thread; never says that it was the last one."""
        self._answers.put(result)
        return False

    def fail(self, error: WaspiError) -> None:
        """End without further results, on the client's thread."""
        self._failure = error
        self._answers.put(error)
        self.taken.set()

    def wait_until_taken(self, timeout: float | None = None) -> None:
        """Wait until the broker has the job; raises :class:`NoAnswerError`, and what kept the job from being sent."""
        if not self.taken.wait(timeout):
            raise NoAnswerError(f"job {self.id} did not go out: the broker did not take it")
        if self._failure is not None:
            raise self._failure

    def results(self, timeout: float) -> Iterator[Result]:
        """Give results as they come, until all expected devices have answered or ``timeout`` seconds are over.

        With no device expected it collects for the whole time. Raises what kept the job from being sent.
        """
        end = time.monotonic() + timeout
        try:
            while self._open or not self.expected:
                try:
                    answer = self._answers.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    return
                if isinstance(answer, Exception):
                    raise answer
                self._open.discard(answer.device)
                yield answer
        finally:
            self._withdraw()
