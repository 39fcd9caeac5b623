"""One job in the agent, from its arrival until its end is on the disk: the only object that holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from waspi.errors import EnvelopeError, IllegalTransitionError
from waspi.journal.rows import JobRow, OutboxEntry
from waspi.model.job import Job as Request
from waspi.model.limits import Limits
from waspi.model.module import DigestModule
from waspi.model.result import JobError, Result
from waspi.model.state import TRANSITIONS, JobState
from waspi.mqtt.message import Incoming
from waspi.protocol import cbor
from waspi.protocol.job_envelope import MAX_BYTES, encode_job, job_from
from waspi.protocol.plain_answer import plain_answer
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.topics import error_topic
from waspi.sandbox.task import Task

_CBOR_MAP: Final = b"\xa0"
LAST_ATTEMPT: Final = 3
"""A job that has been counted for so many starts, and whose last one the device did not survive, is not run again."""


class Receipt(StrEnum):
    """How far the disk knows of a job that is not final."""

    NONE = "none"
    """It does not: a job that ends soon is written whole, with its result."""
    ENTERED = "entered"
    """Its receipt is on the way to the disk."""
    KEPT = "kept"
    """Its message may be acknowledged, and a restart finds it."""


@dataclass(slots=True, eq=False)
class Job:
    """A job on its way. Times are Unix seconds, or monotonic ones where it says so."""

    id: str
    body_hash: bytes
    """SHA-256 (32 bytes) of the message that brought it."""
    topic: str
    module: str
    """``<name>@<version>#sha256:<digest>``, or without the name where none was named."""
    request: Request | None
    """What to run, with the module's digest and limits that hold on this device; ``None`` when it has ended."""
    size: int
    """Bytes of its inputs."""
    received_at: float
    arrived: float
    """Monotonic."""
    expires_at: float | None = None
    lasts: float | None = None
    """Monotonic time at which the expiry has passed, whatever was done to the clock."""
    priority: int = 0
    reply_to: str | None = None
    correlation: bytes | None = None
    plain: bool = False
    delivery: int | None = None
    """Packet identifier of a plain request, which has no id of its own to tell a redelivery by."""
    state: JobState = JobState.QUEUED
    receipt: Receipt = Receipt.NONE
    attempt: int = 1
    """Number of the present start, or of the next one."""
    uncounted: bool = False
    """Whether ``attempt`` has to be on the disk before it starts: it may have run before."""
    own_terms: Collection[str] = ()
    """Kinds of error that are the publisher's own: limits that it set lower than the module's and the device's."""
    publisher: str = ""
    """Id of the key that signed it; empty for an unsigned one."""
    asked: Limits | None = None
    """The limits that its publisher asked for, where it gets less."""
    blameless: bool = False
    """Whether its end says nothing of the module's release: the publisher set the terms of the run, or another module
    may have brought the worker down."""
    messages: list[Incoming] = field(default_factory=list)
    """To be acknowledged once the disk knows of the job."""
    cancels: list[Incoming] = field(default_factory=list)
    """To be acknowledged once its end is on the disk."""
    canceled: bool = False
    """Whether somebody has asked for its end."""
    cancel_reason: str = ""
    in_line: bool = False
    """Whether it waits in memory for a worker."""
    task: Task | None = None
    """What a worker is to do, from the first look for one until it has it."""
    queue_us: int = 0
    """Microseconds from receipt to start."""
    error: JobError | None = None
    """Why it did not succeed."""

    @property
    def digest(self) -> str:
        """SHA-256 of the module's bytes, 64 hexadecimal digits."""
        return self.module[-64:]

    @property
    def label(self) -> str:
        """How a result names the module."""
        return self.module.partition("#")[0]

    def become(self, state: JobState) -> None:
        """Change the state; raises ``IllegalTransitionError``, and stays, where the table does not have it."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"job {self.id} is {self.state} and cannot become {state}")
        self.state = state

    def repeats(self, message: Incoming) -> bool:
        """Whether a message that is marked as a duplicate may be the one that brought this plain job (``bool``)."""
        return self.delivery == message.packet_id and is_repeated(self, message)

    def to_row(self, body: bytes, attempt: int, result: bytes | None = None) -> JobRow:
        """As the journal keeps it."""
        return JobRow(  # by position: names cost a job 1 us
            self.id,
            self.body_hash,
            JobState.QUEUED if result is None else self.state,
            self.received_at,
            self.topic,
            self.module,
            body,
            0,
            attempt,
            self.priority,
            self.expires_at,
            self.reply_to,
            self.correlation,
            self.plain,
            self.delivery,
            result,
        )

    def to_receipt(self) -> JobRow:
        """The row of its receipt: a start that has been made is counted with it."""
        if self.request is None:
            raise IllegalTransitionError(f"job {self.id} has ended and gets no receipt")
        begun = self.attempt if self.state is JobState.IN_PROGRESS else self.attempt - 1
        return self.to_row(self._terms() + encode_job(self.request, check=False), begun)

    def _terms(self) -> bytes:
        """What stands before the envelope in the row's body: ``publisher SP kind SP ... NUL``, or nothing.

        An envelope begins with a CBOR map, a byte above 0x9F; no id and no kind does.
        """
        if not self.publisher and not self.own_terms:
            return b""
        return " ".join((self.publisher, *self.own_terms)).encode() + b"\0"


def job_of_row(row: JobRow, *, now: float, monotonic: float, found: bool) -> Job:
    """A job that waits on the disk. ``found``: an earlier life of the agent took it in, and may have run it.

    Its ``request`` is ``None`` when the journal's bytes are none.
    """
    body, publisher = row.body, ""
    own_terms: Collection[str] = ()
    if body[:1] < _CBOR_MAP:
        terms, _, body = body.partition(b"\0")
        publisher, *own_terms = terms.decode("utf-8", "replace").split(" ")
    try:
        stored = cbor.decode(body, max_bytes=MAX_BYTES)
        if type(stored) is dict:
            stored.pop("idempotent", None)  # a journal of version 1 may have it
        request: Request | None = job_from(stored)
        if request is not None and not isinstance(request.module, DigestModule):
            request = None
    except EnvelopeError:
        request = None
    return Job(
        row.id,
        row.body_hash,
        row.topic,
        row.module,
        request,
        0 if request is None else sum(map(len, request.inputs)),
        row.received_at,
        monotonic,
        row.expires_at,
        None if row.expires_at is None else monotonic + row.expires_at - now,
        row.priority,
        row.reply_to,
        row.correlation,
        row.plain,
        row.delivery,
        receipt=Receipt.KEPT,
        attempt=row.attempt + 1,
        uncounted=found or row.attempt > 0,
        own_terms=own_terms,
        publisher=publisher,
        blameless=bool(own_terms),
    )


def answer_to(job: Job | JobRow, result: Result, encoded: bytes) -> OutboxEntry | None:
    """The message that tells a job's publisher its result, which ``encoded`` holds; ``None``: nobody is to be told."""
    if job.reply_to is None:
        return None
    if job.plain:
        answer = plain_answer(result)
        return OutboxEntry(
            job.reply_to if result.state is JobState.SUCCEEDED else error_topic(job.reply_to),
            answer.payload,
            job.correlation,
            answer.content_type,
            answer.user_properties,
            job.id,
        )
    return OutboxEntry(job.reply_to, encoded, job.correlation, CONTENT_TYPE, (), job.id)


def keep_for_acknowledgement(kept: list[Incoming], message: Incoming) -> None:
    """Keep one more message of the same job until the disk has it: of QoS 1 alone, and of no earlier connection.

    Nothing else can be acknowledged, so that the broker's window bounds what is kept however long the disk refuses. The
    first one stays: it says how the job came.
    """
    if message.qos:
        kept[1:] = [each for each in kept[1:] if each.connection == message.connection]
        kept.append(message)


def is_repeated(job: Job | JobRow, message: Incoming) -> bool:
    """Whether a message with the packet identifier of this plain job may be the same message once more (``bool``)."""
    return (
        job.topic == message.topic
        and job.correlation == message.correlation
        and job.body_hash == hashlib.sha256(message.payload).digest()
    )
