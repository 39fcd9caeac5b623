"""What waits to leave for the broker: messages that are no jobs first, then jobs, within the broker's window."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from waspi.errors import BrokerError, ExpiredError, InputTooLargeError, UnheardError, WaspiError
from waspi.fleet.fit import check_fit
from waspi.fleet.pending_job import Delivery, PendingJob
from waspi.mqtt.message import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.fleet.registry import Registry
    from waspi.fleet.reply_path import ReplyPath
    from waspi.mqtt.link import Link


class _Sent(NamedTuple):
    message: Outgoing
    job: PendingJob | None
    answered: Callable[[BrokerError | None], None] | None


class SendQueue:
    """Publishes through the link what waits for it; everything happens on the loop's thread."""

    def __init__(
        self, link: Link, path: ReplyPath, registry: Registry, on_failure: Callable[[PendingJob, WaspiError], None]
    ) -> None:
        """``registry`` knows what devices can take.

        ``on_failure`` is told of a job that cannot be sent, or that the broker refused.
        """
        self._registry = registry
        self._link = link
        self._path = path
        self._on_failure = on_failure
        self._control: deque[_Sent] = deque()
        self._jobs: deque[PendingJob] = deque()
        self._sent: dict[int, _Sent] = {}

    def publish(self, message: Outgoing, answered: Callable[[BrokerError | None], None] | None = None) -> None:
        """Have something published that is no job; ``answered`` is told what the broker said."""
        self._control.append(_Sent(message, None, answered))

    def send(self, job: PendingJob) -> None:
        """Have a job published that is WAITING; it leaves when answers can come."""
        self._jobs.append(job)

    def pump(self) -> None:
        """Publish what there is room for."""
        while self._link.online and self._link.room > 0:
            if self._control:
                self._put(self._control.popleft())
            elif self._jobs and self._path.open:
                self._put_job(self._jobs.popleft())
            else:
                return

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Note what the broker said to a publish.

        That nobody is subscribed is no refusal: it may be the state of a device that has no session, and a job is sent
        again when its device comes. Callers have deadlines, and are told then.
        """
        sent = self._sent.pop(token, None)
        if sent is None:
            return
        unheard = isinstance(refused, UnheardError)
        failure = None if unheard else refused
        if sent.answered is not None:
            sent.answered(failure)
        job = sent.job
        if job is not None and job.state is Delivery.SENT:
            if failure is None:
                job.unheard = unheard
                job.become(Delivery.TAKEN)
                job.on_taken()
            else:
                self._on_failure(job, failure)

    def on_offline(self) -> None:
        """Keep what was not acknowledged for the next connection; jobs are sent again by who knows their state."""
        self._control.extendleft(sent for sent in reversed(self._sent.values()) if sent.job is None)
        self._sent.clear()

    def _put_job(self, job: PendingJob) -> None:
        if job.state is not Delivery.WAITING:
            return
        expires_in = None if job.expires_at is None else int(job.expires_at - time.time())
        if expires_in is not None and expires_in <= 0:
            self._on_failure(job, ExpiredError(f"job {job.id} expired before it could be sent"))
            return
        message = Outgoing(
            job.topic,
            job.body,
            reply_to=None if job.detached else self._path.folder,
            correlation=job.correlation,
            expires_in_s=expires_in,
            content_type=job.content_type,
        )
        if not job.sent:  # once it went out, only its device can say how it ended
            try:
                check_fit(job, message, self._registry)
            except WaspiError as error:
                self._on_failure(job, error)
                return
        job.become(Delivery.SENT)
        job.sent += 1
        self._put(_Sent(message, job, None))

    def _put(self, sent: _Sent) -> None:
        try:
            self._sent[self._link.publish(sent.message)] = sent
        except BrokerError as error:
            if sent.job is not None:
                self._on_failure(sent.job, _too_large(sent.job, error) if self._link.online else error)
            elif sent.answered is not None:
                sent.answered(error)


def _too_large(job: PendingJob, refused: BrokerError) -> InputTooLargeError:
    """Say what the one reason means that an open link with room has to take no job."""
    error = InputTooLargeError(
        f"job {job.id} has {len(job.body)} bytes, and {refused.message}: send less, or the module by digest or name"
    )
    error.__cause__ = refused
    return error
