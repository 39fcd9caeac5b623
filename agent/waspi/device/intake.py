"""What comes in: admitted, refused, recognised as a duplicate - and acknowledged only when that is safe."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from waspi.device.answer import answer_to
from waspi.device.catalog import Catalog
from waspi.device.clock import Clock
from waspi.device.job_queue import JobQueue
from waspi.device.outbox import Outbox
from waspi.device.redelivery import is_repeated
from waspi.errors import DuplicateJobError, ExpiredError, QueueFullError, StorageError, TopicError, WaspiError
from waspi.journal.journal import Journal
from waspi.journal.quotas import Admission
from waspi.journal.rows import JobRow
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.mqtt.backoff import Backoff
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.admission import Admitted, Refused, admit
from waspi.protocol.cancel import decode_cancel
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.policy import Policy
from waspi.protocol.result_envelope import decode_result, encode_result
from waspi.protocol.topics import Route, RouteKind
from waspi.sandbox.messages import one_line

_JOBS = frozenset({RouteKind.DEVICE_JOB, RouteKind.GROUP_JOB, RouteKind.RUN})

_log = logging.getLogger(__name__)


class Intake:
    """Decides on every incoming job and cancel; the decision itself is made in :mod:`waspi.protocol.admission`."""

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        catalog: Catalog,
        journal: Journal,
        jobs: JobQueue,
        outbox: Outbox,
        clock: Clock,
        acknowledge: Callable[[Incoming], object],
        on_trouble: Callable[[StorageError | None], None],
        on_refused: Callable[[JobState], None],
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._catalog = catalog
        self._journal = journal
        self._jobs = jobs
        self._outbox = outbox
        self._clock = clock
        self._acknowledge = acknowledge
        self._on_trouble = on_trouble
        self._on_refused = on_refused
        self._topic = ""
        self._route = Route(RouteKind.PRESENCE)
        """Of the latest message; most come on the same topic."""
        self._capped = lru_cache(maxsize=64)(self._cap)
        self._held: deque[tuple[Route, Incoming]] = deque()
        self._in_trouble = False
        self._not_before = 0.0
        self._backoff = Backoff(first=0.5, longest=30.0)
        self.on_query: Callable[[Incoming], None] | None = None
        """Takes ``sync-query`` messages."""
        self.on_chunk: Callable[[bytes], None] | None = None
        """Takes what depots send."""
        self.on_notice: Callable[[str, bytes], None] | None = None
        """Takes the announcement of a depot, whose id comes first."""

    def on_message(self, message: Incoming) -> None:
        """Take a message."""
        if message.topic == self._topic:
            route = self._route
        else:
            try:
                route = self._policy.topics.parse(message.topic)
            except TopicError as error:
                _log.warning("a message is dropped: %s", error.message)
                self._acknowledge(message)
                return
            self._topic, self._route = message.topic, route
        if route.kind in _JOBS:
            if self._held:
                self._held.append((route, message))
            else:
                self._job(route, message)
        elif route.kind is RouteKind.CANCEL and route.device == self._policy.device:
            self._cancel(route.item, message)
        else:
            if route.kind is RouteKind.SYNC_QUERY and self.on_query is not None:
                self.on_query(message)
            elif route.kind is RouteKind.CHUNK and self.on_chunk is not None:
                self.on_chunk(message.payload)
            elif route.kind is RouteKind.DEPOT_TIMESTAMP and self.on_notice is not None:
                self.on_notice(route.item, message.payload)
            self._acknowledge(message)

    def on_online(self) -> None:
        """A new connection: what was held on the old one comes again."""
        self._held.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`look_again` wants to be called although nothing happened."""
        return self._not_before if self._held and self._in_trouble else None

    def look_again(self) -> None:
        """Look at held jobs again: there may be room now."""
        if self._in_trouble and self._clock.monotonic() < self._not_before:
            return
        for _ in range(len(self._held)):
            route, message = self._held.popleft()
            before = len(self._held)
            self._job(route, message)
            if len(self._held) > before:  # held again: it went to the end; put it back where it was
                self._held.rotate(1)
                return
        if self._in_trouble and not self._held:
            self._in_trouble = False
            self._backoff.reset()
            self._on_trouble(None)

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _job(self, route: Route, message: Incoming) -> None:
        plain_id = self._plain_id(message) if route.kind is RouteKind.RUN else ""
        now = self._clock.now()
        decision = admit(self._policy, route, message, now=now, time_floor=self._clock.floor, plain_id=plain_id)
        if isinstance(decision, Refused):
            self._turn_away(route, decision, message)
            return
        if self._jobs.receiving(decision.job.id) is not None:
            self._jobs.after_receipt(decision.job.id, lambda: self._was_known(decision, message))
            return
        if self._jobs.holds(decision.job.id):
            self._was_known(decision, message)
            return
        try:
            self._new(route, decision, message, now)
        except WaspiError as error:
            if isinstance(error, StorageError) and isinstance(error.__cause__, OSError):
                self._wait_for_disk(route, message, error)
                return
            known = self._journal.reader.job(decision.job.id)
            if known is not None:  # it was taken when there was room for it, and its module was here
                self._again(known, decision, message)
            else:
                self._refuse(_refused(decision, error), message)

    def _wait_for_disk(self, route: Route, message: Incoming, error: StorageError) -> None:
        """The disk does not take the module: the message is neither acknowledged nor lost."""
        self._held.append((route, message))
        self._not_before = self._clock.monotonic() + self._backoff.next()
        if not self._in_trouble:
            self._in_trouble = True
            self._on_trouble(error)

    def _turn_away(self, route: Route, decision: Refused, message: Incoming) -> None:
        # A redelivery of a job that was taken while it was fresh is no expired job.
        if isinstance(decision.error, ExpiredError) and decision.job_id is not None:
            if self._jobs.receiving(decision.job_id) is not None:
                self._jobs.after_receipt(decision.job_id, lambda: self._job(route, message))
                return
            if self._is_known(decision, message):
                return
        self._refuse(decision, message)

    def _new(self, route: Route, decision: Admitted, message: Incoming, now: float) -> None:
        asked = decision.job
        found = self._catalog.resolve(asked.module)
        job = Job(
            asked.id,
            DigestModule(found.digest),
            asked.inputs,
            asked.batch,
            found.abi_for(asked.abi),
            self._capped(asked.limits, found.limits),
            asked.expires_at,
            asked.idempotent,
            asked.priority,
            asked.audience,
        )
        body = encode_job(job, check=False)  # it was decoded a moment ago
        room = self._journal.admission(len(body))
        if room is Admission.HOLD:
            self._held.append((route, message))
            return
        if room is Admission.REFUSE:
            raise QueueFullError("this device's queue is full; send again later")
        direct = self._jobs.begins_at_once(len(body), job.limits.memory_bytes or 0)
        row = JobRow(  # by position, as the job above: names cost a job 1 us
            job.id,
            decision.body_hash,
            JobState.IN_PROGRESS if direct else JobState.QUEUED,
            now,
            message.topic,
            found.where,
            body,
            0,
            1 if direct else 0,
            job.idempotent,
            job.priority,
            decision.expires_at,
            decision.reply_to,
            decision.correlation,
            decision.plain,
            message.packet_id if decision.plain else None,
        )
        # Whether the id is new the journal finds out with the insertion: a look-up before would cost every job.
        acknowledge = (
            partial(self._acknowledge_plain, job.id, message) if row.plain else partial(self._acknowledge, message)
        )
        self._jobs.take(row, job, acknowledge, lambda: self._was_known(decision, message))

    def _cap(self, asked: Limits, module: Limits) -> Limits:
        """What a job's limits and its module's come to on this device; most jobs have one of few pairs."""
        return asked.capped_by(module).capped_by(self._limits)

    def _acknowledge_plain(self, job_id: str, message: Incoming) -> None:
        if self._acknowledge(message):
            self._outbox.acknowledged(job_id)

    def _was_known(self, decision: Admitted, message: Incoming) -> None:
        known = self._journal.reader.job(decision.job.id)
        if known is not None:
            self._again(known, decision, message)

    def _plain_id(self, message: Incoming) -> str:
        """A plain request has no id: a redelivery is known by DUP, packet identifier and payload (MQTT 5.0, 4.4)."""
        if message.dup:
            receiving = self._jobs.receiving_delivery(message)
            if receiving is not None:
                return receiving
            earlier = self._journal.reader.by_delivery(message.packet_id, hashlib.sha256(message.payload).digest())
            if earlier is not None and is_repeated(earlier, message):
                return earlier.id
        return f"run-{os.urandom(8).hex()}"

    def _is_known(self, decision: Refused, message: Incoming) -> bool:
        known = self._journal.reader.job(decision.job_id) if decision.job_id else None
        if known is None or known.body_hash != decision.body_hash:
            return False
        self._answer_again(known, decision.reply_to, decision.correlation, message)
        return True

    def _again(self, known: JobRow, decision: Admitted, message: Incoming) -> None:
        if known.body_hash == decision.body_hash:
            self._answer_again(known, decision.reply_to, decision.correlation, message)
        else:
            error = DuplicateJobError(f"job id {known.id} was used before with another body; take a new id")
            self._refuse(_refused(decision, error), message)

    def _answer_again(self, known: JobRow, reply_to: str, correlation: bytes | None, message: Incoming) -> None:
        """The same job once more: the stored result answers it, and nothing runs."""
        if known.result:
            asked = replace(known, reply_to=reply_to, correlation=correlation)
            self._say(asked, decode_result(known.result), known.result, message)
        elif known.plain and not known.state.final:
            self._acknowledge_plain(known.id, message)
        else:
            self._acknowledge(message)  # its result is still to come, or was dropped for space long after delivery

    def _refuse(self, refused: Refused, message: Incoming) -> None:
        error = refused.error
        self._on_refused(refused.state)
        _log.warning("job %s is refused: %s: %s", refused.answer_id, error.kind, error.message)
        told = JobError(error.fault, error.kind, error.message)
        result = Result(refused.answer_id, self._policy.device, refused.state, error=told, attempt=0)
        row = JobRow(
            id=refused.answer_id,
            body_hash=refused.body_hash,
            state=refused.state,
            received_at=0,
            topic=message.topic,
            module="",
            body=b"",
            reply_to=refused.reply_to,
            correlation=refused.correlation,
            plain=refused.plain,
        )
        self._say(row, result, encode_result(result), message)

    def _say(self, row: JobRow, result: Result, encoded: bytes, message: Incoming) -> None:
        entry = answer_to(row, result, encoded)
        if entry is None:
            self._acknowledge(message)
            return
        answer = Outgoing(
            topic=entry.topic,
            payload=entry.payload,
            correlation=entry.correlation,
            content_type=entry.content_type,
            user_properties=entry.user_properties,
        )
        self._outbox.say(answer, lambda: self._acknowledge(message))

    # --- cancel -----------------------------------------------------------------------------------------------------

    def _cancel(self, job_id: str, message: Incoming) -> None:
        try:
            reason = one_line(decode_cancel(message.payload).encode())
        except WaspiError as error:
            _log.warning("a cancel of job %s is dropped: %s", job_id, error.message)
            self._acknowledge(message)
            return
        if message.retain:
            self._acknowledge(message)
            return
        _log.info("job %s is to be canceled%s", job_id, f": {reason}" if reason else "")
        self._jobs.cancel(job_id, lambda: self._acknowledge(message), reason)


def _refused(decision: Admitted, error: WaspiError) -> Refused:
    return Refused(
        decision.job.id,
        decision.job.id,
        decision.body_hash,
        error,
        decision.reply_to,
        decision.correlation,
        decision.plain,
    )
