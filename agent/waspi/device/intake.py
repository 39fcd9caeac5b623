"""Jobs and cancels that come in: admitted, refused, known again, and acknowledged only when that is safe."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from waspi.backoff import Backoff
from waspi.device.job import Job, answer_to, is_repeated, keep_for_acknowledgement
from waspi.errors import (
    AbiError,
    DuplicateJobError,
    ExpiredError,
    FuelLimitError,
    MemoryLimitError,
    OutputLimitError,
    QueueFullError,
    StorageError,
    TimeLimitError,
    TopicError,
    WaspiError,
)
from waspi.journal.quotas import Admission
from waspi.journal.rows import JobRow
from waspi.model.job import Job as Request
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule
from waspi.model.result import JobError, Result
from waspi.model.value import value
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.admission import MAX_CORRELATION, UNREAD, Admitted, Refused, admit, digest_of
from waspi.protocol.cancel import decode_cancel
from waspi.protocol.result_envelope import decode_result, encode_result
from waspi.protocol.signed_request import cancel_of, open_request
from waspi.protocol.topics import Route, RouteKind
from waspi.sandbox.messages import one_line

if TYPE_CHECKING:
    from waspi.device.announcer import Announcer
    from waspi.device.catalog import Catalog, Resolved
    from waspi.device.clock import Clock
    from waspi.device.jobs import Jobs
    from waspi.device.outbox import Outbox
    from waspi.journal.journal import Journal
    from waspi.journal.writer import Writer
    from waspi.mqtt.link import Link
    from waspi.protocol.policy import Policy
    from waspi.sandbox.background import Background

_AT_ONCE_BYTES = 256 * 1024
"""Bytes that are hashed on the loop's thread."""
_HASHING = 4
"""Messages whose hash a thread makes, beyond which such of QoS 0 are dropped."""
_UNKEPT = 512
"""Jobs that the disk does not know of, beyond which jobs of QoS 0 are dropped; others stay with the broker."""
_UNKEPT_BYTES = 16 * 1024 * 1024

_log = logging.getLogger(__name__)


class _After(IntEnum):
    """What a cancel has waited for, since the job that it means may be part of it."""

    NOTHING = 0
    HASHED = 1
    """Messages that were with the thread when it came."""
    HELD = 2
    """Messages that were held when it came."""


class Intake:
    """Decides on every incoming job and cancel; the decision itself is made in :mod:`waspi.protocol.admission`."""

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        catalog: Catalog,
        journal: Journal,
        writer: Writer,
        jobs: Jobs,
        link: Link,
        outbox: Outbox,
        announcer: Announcer,
        background: Background,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._catalog = catalog
        self._journal = journal
        self._writer = writer
        self._jobs = jobs
        self._link = link
        self._outbox = outbox
        self._announcer = announcer
        self._background = background
        self._clock = clock
        self._terms = lru_cache(maxsize=64)(self._find_terms)
        self._held: deque[tuple[Route, Incoming]] = deque()
        """Of QoS 1 alone, so that the broker's window bounds it."""
        self._storing: dict[str, _Storing] = {}
        self._in_trouble = False
        self._not_before = 0.0
        """When a disk in trouble is tried again; 0: no time has to pass."""
        self._backoff = Backoff(first=0.5, longest=30.0)
        self._dropped = 0
        self._hashing = 0
        """Large messages whose hash a thread makes."""

    def on_job(self, route: Route, message: Incoming) -> None:
        """Take a message of a route DEVICE_JOB, GROUP_JOB or RUN."""
        if self._held or not self._outbox.takes:
            self._hold(route, message)
        elif len(message.payload) <= _AT_ONCE_BYTES:
            self._job(route, message)
        elif not message.qos and self._hashing >= _HASHING:
            self._drop()
        else:
            self._hashing += 1
            self._background.do(
                partial(digest_of, self._policy, message.payload), partial(self._on_hashed, route, message)
            )

    def _on_hashed(self, route: Route, message: Incoming, digest: bytes | None, error: Exception | None) -> None:
        """The hash of a large message is known."""
        self._hashing -= 1
        if error is not None:
            raise error
        self._job(route, message, digest)

    def on_online(self) -> None:
        """A new connection: what was held on the old one comes again."""
        self._held.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`look_again` wants to be called although nothing happened."""
        return self._not_before if self._held and self._in_trouble and self._not_before else None

    def look_again(self) -> None:
        """Look at held jobs again: there may be room now."""
        if self._in_trouble and self._not_before:
            if self._clock.monotonic() < self._not_before:
                return
            self._not_before = 0.0  # whatever else holds a job up now calls again
        for _ in range(len(self._held)):
            if not self._outbox.takes:
                return
            route, message = self._held.popleft()
            if route.kind is RouteKind.CANCEL:
                self.on_cancel(route.item, message, after=_After.HELD)
                continue
            before = len(self._held)
            self._job(route, message)
            if len(self._held) > before:  # held again: it went to the end; put it back where it was
                self._held.rotate(1)
                return
        if self._in_trouble and not self._held and not self._storing:
            self._in_trouble = False
            self._backoff.reset()
            self._announcer.degraded("modules", None)

    def _hold(self, route: Route, message: Incoming) -> None:
        """Neither acknowledge nor forget it. One of QoS 0, which nobody keeps from coming, is dropped."""
        if message.qos:
            self._held.append((route, message))
        else:
            self._drop()

    def _drop(self) -> None:
        self._dropped += 1
        if self._dropped.bit_count() == 1:  # 1, 2, 4, 8, ...: a flood must not flood the log
            _log.warning("%d jobs of QoS 0 were dropped so far: more come than are done", self._dropped)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _job(self, route: Route, message: Incoming, digest: bytes | None = None) -> None:
        plain_id, known = "", False
        if route.kind.plain:
            plain_id, known = self._plain_id(message)
        now = self._clock.now()
        floor = self._clock.floor
        decision = admit(self._policy, route, message, now=now, time_floor=floor, plain_id=plain_id, digest=digest)
        if isinstance(decision, Refused):
            # A redelivery of a job that was taken while it was fresh is no expired job.
            expired = isinstance(decision.error, ExpiredError) and decision.job_id is not None
            if not expired or self._again(decision.job_id or "", decision, message) is not True:
                self._refuse(decision, message)
            return
        # A random id is new; any other is looked up: a job that was answered must not run again.
        if not plain_id or known:
            again = self._again(decision.job.id, decision, message)
            if again is False:
                error = DuplicateJobError(f"job id {decision.job.id} was used before with another body; take a new id")
                self._refuse(_refused(decision, error), message)
            if again is not None:
                return
        try:
            self._new(route, decision, message)
        except WaspiError as error:
            if isinstance(error, StorageError) and isinstance(error.__cause__, OSError):
                self._wait_for_disk(route, message, error)
            else:
                self._refuse(_refused(decision, error), message)

    def _wait_for_disk(self, route: Route, message: Incoming, error: StorageError) -> None:
        """The disk does not take the module: the message is neither acknowledged nor lost."""
        self._hold(route, message)
        self._not_before = self._clock.monotonic() + self._backoff.next()
        if not self._in_trouble:
            self._in_trouble = True
            self._announcer.degraded("modules", error)

    def _new(self, route: Route, decision: Admitted, message: Incoming) -> None:
        asked = decision.job
        size = sum(map(len, asked.inputs))
        unkept, unkept_bytes = self._jobs.unkept, self._jobs.unkept_bytes
        if not message.qos and (unkept >= _UNKEPT or unkept_bytes >= _UNKEPT_BYTES):
            self._drop()
            return
        room = self._journal.admission(unkept + 1, unkept_bytes + size)
        if room is Admission.HOLD:
            self._writer.hurry()  # rows that the broker has taken may go
            self._hold(route, message)
            return
        if room is Admission.REFUSE:
            raise QueueFullError("this device's queue is full; send again later")
        module = asked.module
        if isinstance(module, InlineModule):
            self._store(module.wasm, route, decision, message)
        elif isinstance(module, DigestModule) and self._storing and not self._catalog.has(module.sha256):
            self._hold(route, message)  # it may be on its way to the disk
        else:
            self._take(decision, [message], self._catalog.resolve(module))

    def _store(self, wasm: bytes, route: Route, decision: Admitted, message: Incoming) -> None:
        """Have a module that came along with its job; the disk is waited for by a thread."""
        if len(wasm) <= _AT_ONCE_BYTES:
            known = self._catalog.find(wasm)
            if known is not None:
                self._take(decision, [message], known)
                return
        elif not message.qos and self._storing:
            self._drop()
            return
        job_id = decision.job.id
        self._storing[job_id] = _Storing(route, decision, [message])
        self._catalog.store(wasm, self._background, partial(self._on_stored, job_id))

    def _on_stored(self, job_id: str, found: Resolved, error: StorageError | None) -> None:
        """A module that came along is on the disk, or the disk does not take it."""
        job = self._storing.pop(job_id)
        if error is None:
            self._take(job.decision, job.messages, found)
        elif isinstance(error.__cause__, OSError):
            for message in job.messages:
                self._wait_for_disk(job.route, message, error)
        else:
            for message in job.messages:
                self._refuse(_refused(job.decision, error), message)
        for message in job.cancels:
            self.on_cancel(job_id, message, after=_After.HASHED)

    def _take(self, decision: Admitted, messages: list[Incoming], found: Resolved) -> None:
        asked, message, now = decision.job, messages[0], self._clock.now()
        size = sum(map(len, asked.inputs))
        terms = self._terms(asked.limits, found.limits)
        abi = found.abi_for(asked.abi)
        own_abi = abi != found.abi
        request = Request(
            asked.id,
            DigestModule(found.digest),
            asked.inputs,
            asked.batch,
            abi,
            terms.limits,
            asked.expires_at,
            asked.priority,
            asked.audience,
        )
        monotonic, expires_at = self._clock.monotonic(), decision.expires_at
        self._jobs.take(
            Job(  # by position, as the request above: names cost a job 1 us
                asked.id,
                decision.body_hash,
                message.topic,
                found.where,
                request,
                size,
                now,
                monotonic,
                expires_at,
                None if expires_at is None else monotonic + expires_at - now,
                asked.priority,
                decision.reply_to,
                decision.correlation,
                decision.plain,
                message.packet_id if decision.plain and message.qos else None,
                attempt=2 if message.dup else 1,
                uncounted=message.dup,
                publisher=decision.key_id or "",
                own_terms=(*terms.own, *_ABI_KINDS) if own_abi else terms.own,
                blameless=bool(terms.own) or own_abi,
                asked=terms.asked,
                messages=messages,
            )
        )

    def _find_terms(self, asked: Limits, module: Limits) -> _Terms:
        """What a job's limits come to on this device; most jobs have one of few pairs."""
        granted = module.capped_by(self._limits)
        limits = asked.capped_by(granted)
        own = tuple(kind for name, kind in _LIMIT_KINDS.items() if getattr(limits, name) != getattr(granted, name))
        cut = any((getattr(asked, name) or 0) > (getattr(limits, name) or 0) for name in _LIMIT_KINDS)
        return _Terms(limits, own, asked if cut else None)

    def _plain_id(self, message: Incoming) -> tuple[str, bool]:
        """An id for a plain request, which has none, and whether it may be known.

        A redelivery is known by DUP, packet identifier and payload (MQTT 5.0, 4.4).
        """
        if message.dup:
            live = self._jobs.find_delivery(message)
            if live is not None:
                return live.id, True
            earlier = self._journal.reader.by_delivery(message.packet_id, hashlib.sha256(message.payload).digest())
            if earlier is not None and is_repeated(earlier, message):
                return earlier.id, True
        return f"run-{os.urandom(8).hex()}", False

    def _again(self, job_id: str, decision: Admitted | Refused, message: Incoming) -> bool | None:
        """Answer a job that is known; ``False``: its id is, with another body; ``None``: it is not known."""
        storing = self._storing.get(job_id)
        if storing is not None:
            if storing.decision.body_hash == decision.body_hash:
                keep_for_acknowledgement(storing.messages, message)
            return storing.decision.body_hash == decision.body_hash
        live = self._jobs.find(job_id)
        if live is not None:
            if live.body_hash == decision.body_hash:
                self._jobs.repeat(live, message)
            return live.body_hash == decision.body_hash
        if self._journal.reader.state(job_id) is None:
            return None
        row = self._journal.reader.job(job_id)
        if row is None or row.body_hash != decision.body_hash:
            return False
        self._answer_again(row, decision.reply_to, decision.correlation, message)
        return True

    def _answer_again(self, known: JobRow, reply_to: str, correlation: bytes | None, message: Incoming) -> None:
        """The same job once more: the stored result answers it, and nothing runs."""
        if known.result:
            asked = replace(known, reply_to=reply_to, correlation=correlation)
            self._say(asked, decode_result(known.result), known.result, message)
        elif self._link.acknowledge(message) and known.plain and not known.state.final:
            self._outbox.acknowledged(known.id)
        # else its result is still to come, or was dropped for space long after delivery

    def on_unknown_topic(self, message: Incoming, error: TopicError) -> None:
        """A topic that the protocol does not have; whoever asks for an answer is told: it may be a misspelt run."""
        digest = hashlib.sha256(message.payload).digest()
        try:
            reply_to = None if message.reply_to is None else self._policy.replies.check(message.reply_to)
        except TopicError:
            reply_to = None
        if reply_to is None or len(message.correlation or b"") > MAX_CORRELATION:
            _log.warning("a message is dropped: %s", error.message)
            self._link.acknowledge(message)
            return
        answer_id = f"{UNREAD}{digest.hex()[:16]}"
        self._refuse(Refused(None, answer_id, digest, error, reply_to, message.correlation, plain=True), message)

    def _refuse(self, refused: Refused, message: Incoming) -> None:
        error = refused.error
        self._announcer.on_refused(refused.state)
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
            self._link.acknowledge(message)
            return
        answer = Outgoing(
            topic=entry.topic,
            payload=entry.payload,
            correlation=entry.correlation,
            content_type=entry.content_type,
            user_properties=entry.user_properties,
        )
        self._outbox.say(answer, message)

    # --- cancel -------------------------------------------------------------------------------------------------------

    def on_cancel(self, job_id: str, message: Incoming, *, after: _After = _After.NOTHING) -> None:
        """Take a request to stop a job, which may have come before it and not be taken yet."""
        try:
            clock = max(self._clock.now(), self._clock.floor)
            body = open_request(self._policy, message.payload, what=cancel_of(job_id), now=clock)
            reason = one_line(decode_cancel(body).encode())
        except WaspiError as error:
            _log.warning("a cancel of job %s is dropped: %s", job_id, error.message)
            self._link.acknowledge(message)
            return
        if message.retain:
            self._link.acknowledge(message)
            return
        storing = self._storing.get(job_id)
        if storing is not None:
            if message.qos or not storing.cancels:
                keep_for_acknowledgement(storing.cancels, message)
        elif self._jobs.cancel(job_id, message, reason):
            _log.info("job %s is to be canceled%s", job_id, f": {reason}" if reason else "")
        elif message.qos and self._hashing and after < _After.HASHED:  # the thread works in order of arrival
            self._background.do(_nothing, lambda *_: self.on_cancel(job_id, message, after=_After.HASHED))
        elif message.qos and self._held and after < _After.HELD:
            self._held.append((Route(RouteKind.CANCEL, self._policy.device, item=job_id), message))
        else:
            self._link.acknowledge(message)


def _nothing() -> None:
    """Work for the thread that only marks a place in the order."""


@dataclass(slots=True)
class _Storing:
    """A job whose module is on its way to the disk."""

    route: Route
    decision: Admitted
    messages: list[Incoming]
    """The one that brought it, and those that brought it once more."""
    cancels: list[Incoming] = field(default_factory=list)


@value
class _Terms:
    """The limits of a run."""

    limits: Limits
    own: tuple[str, ...]
    """Kinds of error that only the publisher's limits bring about."""
    asked: Limits | None
    """What the publisher asked for, where it gets less."""


_LIMIT_KINDS = {
    "fuel": FuelLimitError.kind,
    "memory_bytes": MemoryLimitError.kind,
    "time_ms": TimeLimitError.kind,
    "output_bytes": OutputLimitError.kind,
}
_ABI_KINDS = (AbiError.kind, *(each.kind for each in AbiError.__subclasses__()))


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
