"""What leaves for the broker: messages that are no jobs first, then jobs, within the broker's window."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from waspi.errors import BrokerError, ExpiredError, InputTooLargeError
from waspi.fleet.pending_job import Delivery, PendingJob
from waspi.mqtt.message import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.errors import WaspiError
    from waspi.fleet.reply_path import ReplyPath
    from waspi.mqtt.link import Link


class _Sent(NamedTuple):
    message: Outgoing
    job: PendingJob | None
    answered: Callable[[BrokerError | None], None] | None


class Departures:
    """Publishes through the link what waits for it; everything happens on the loop's thread."""

    def __init__(self, path: ReplyPath, on_failure: Callable[[PendingJob, WaspiError], None]) -> None:
        """``on_failure`` is told of a job that cannot be sent, or that the broker refused."""
        self._path = path
        self._on_failure = on_failure
        self._control: deque[_Sent] = deque()
        self._jobs: deque[PendingJob] = deque()
        self._sent: dict[int, _Sent] = {}
        self.link: Link | None = None

    def publish(self, message: Outgoing, answered: Callable[[BrokerError | None], None] | None = None) -> None:
        """Have something published that is no job; ``answered`` is told what the broker said."""
        self._control.append(_Sent(message, None, answered))

    def send(self, job: PendingJob) -> None:
        """Have a job published that is WAITING; it leaves when answers can come."""
        self._jobs.append(job)

    def pump(self) -> None:
        """Publish what there is room for."""
        link = self.link
        while link is not None and link.online and link.room > 0:
            if self._control:
                self._put(link, self._control.popleft())
            elif self._jobs and self._path.open:
                self._put_job(link, self._jobs.popleft())
            else:
                return

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Note what the broker said to a publish."""
        sent = self._sent.pop(token, None)
        if sent is None:
            return
        if sent.answered is not None:
            sent.answered(refused)
        job = sent.job
        if job is not None and job.state is Delivery.SENT:
            if refused is None:
                job.become(Delivery.TAKEN)
                job.on_taken()
            else:
                self._on_failure(job, refused)

    def on_offline(self) -> None:
        """Keep what was not acknowledged for the next connection; jobs are sent again by who knows their state."""
        self._control.extendleft(sent for sent in reversed(self._sent.values()) if sent.job is None)
        self._sent.clear()

    def _put_job(self, link: Link, job: PendingJob) -> None:
        if job.state is not Delivery.WAITING:
            return
        expires_in = None if job.expires_at is None else int(job.expires_at - time.time())
        if expires_in is not None and expires_in <= 0:
            self._on_failure(job, ExpiredError(f"job {job.id} expired before it could be sent"))
            return
        message = Outgoing(
            job.topic,
            job.body,
            reply_to=None if job.detached else self._path.results,
            correlation=job.correlation,
            expires_in_s=expires_in,
            content_type=job.content_type,
        )
        job.become(Delivery.SENT)
        job.sent += 1
        self._put(link, _Sent(message, job, None))

    def _put(self, link: Link, sent: _Sent) -> None:
        try:
            self._sent[link.publish(sent.message)] = sent
        except BrokerError as error:
            if sent.job is not None:
                self._on_failure(sent.job, _too_large(sent.job, error) if link.online else error)
            elif sent.answered is not None:
                sent.answered(error)


def _too_large(job: PendingJob, refused: BrokerError) -> InputTooLargeError:
    """Say what the one reason means that an open link with room has to take no job."""
    error = InputTooLargeError(
        f"job {job.id} has {len(job.body)} bytes, and {refused.message}: send less, or the module by digest or name"
    )
    error.__cause__ = refused
    return error
