"""What becomes of an incoming job: admitted or refused, decided from values alone.

:func:`admit` is total: whatever a stranger sends, it returns a decision, so that every message can be acknowledged and
answered once and no poison message comes back for ever.

Time comes as ``now`` (Unix time by the device's clock) and ``time_floor``, the latest Unix time that the device has
good reason to believe has passed (signed metadata, the largest ``now`` on disk, the build). The later of the two
counts: a clock that was set back ten years makes no expired job fresh again. A clock set forward expires jobs early,
which is safe and reported.
"""

from __future__ import annotations

from typing import Final, Protocol

from waspi.errors import (
    EnvelopeError,
    ExpiredError,
    InputTooLargeError,
    ModuleTooLargeError,
    NotAllowedError,
    RetainedJobError,
    TopicError,
    UnsignedError,
    WaspiError,
)
from waspi.model.job import Job
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState
from waspi.model.value import value
from waspi.protocol import cbor, cose
from waspi.protocol.ids import is_id, shown
from waspi.protocol.job_envelope import body_hash, claimed_id, job_from
from waspi.protocol.policy import InlinePolicy, JobsPolicy, Policy
from waspi.protocol.topics import Route, RouteKind
from waspi.protocol.trust import TrustedKey, authorize

MAX_CORRELATION: Final = 256
"""Bytes of Correlation Data that are given back; a longer one is refused, since it is kept as long as the job."""
UNREAD: Final = "unread-"
"""Begins the id under which a message is answered whose own id cannot be read, or not before it is trusted."""


class Publication(Protocol):
    """What admission looks at in a message; :class:`waspi.mqtt.message.Incoming` is one."""

    @property
    def payload(self) -> bytes:
        """The message itself."""

    @property
    def retain(self) -> bool:
        """The RETAIN flag (with Retain As Published: as the publisher set it)."""

    @property
    def reply_to(self) -> str | None:
        """Response Topic, untrusted."""

    @property
    def correlation(self) -> bytes | None:
        """Correlation Data."""

    @property
    def expires_in_s(self) -> int | None:
        """Message Expiry Interval that is left, in seconds."""


@value
class Admitted:
    """A job that may be queued, unless the journal knows its id."""

    job: Job
    body_hash: bytes
    """SHA-256 of the message as received, 32 bytes: the same id with another hash is another job, and refused."""
    reply_to: str
    """Topic of the result: the checked Response Topic, or the default one."""
    correlation: bytes | None
    plain: bool
    """Whether the answer is the raw output (:mod:`waspi.protocol.plain_answer`)."""
    key_id: str | None
    """Trusted key that signed it; ``None``: unsigned."""
    expires_at: float | None
    """Unix time after which the job must not start: the earlier of its own expiry and the message's."""


@value
class Refused:
    """A message that is answered with an error and never run."""

    job_id: str | None
    """The id that the message claims, where one can be read before it is trusted; ``None``: none."""
    answer_id: str
    """Id to answer under: ``job_id``, else ``unread-`` and the first 16 hex digits of ``body_hash``."""
    body_hash: bytes
    """SHA-256 of the message; of its first ``message_bytes`` where it is longer."""
    error: WaspiError
    reply_to: str
    """Where to answer: the Response Topic if it is allowed, else the default topic of ``answer_id``."""
    correlation: bytes | None
    plain: bool

    @property
    def state(self) -> JobState:
        """EXPIRED when that is why, else REJECTED."""
        return JobState.EXPIRED if isinstance(self.error, ExpiredError) else JobState.REJECTED


def admit(
    policy: Policy,
    route: Route,
    message: Publication,
    *,
    now: float,
    time_floor: float,
    plain_id: str = "",
    digest: bytes | None = None,
) -> Admitted | Refused:
    """Decide on a message of a route DEVICE_JOB, GROUP_JOB, RUN or GROUP_RUN.

    ``plain_id`` is the job id that the device gives a plain request (RUN, GROUP_RUN), which brings none; for other
    routes it is not looked at. It must be stable for a redelivery of the same message, else the request runs again: see
    :class:`waspi.mqtt.message.Incoming` for ``dup`` and ``packet_id``.

    ``digest``: what :func:`digest_of` says of the payload, where the caller knows it already.
    """
    plain = route.kind.plain
    payload = message.payload
    limit = policy.limits.message_bytes
    if digest is None:
        digest = digest_of(policy, payload)
    job_id: str | None = plain_id if plain and is_id(plain_id) else None
    reply_to, correlation, reply_error = _reply(policy, message)
    try:
        _check_message(policy, route, message)
        key: TrustedKey | None = None
        if plain:
            job = _plain_job(policy, route.item, payload, plain_id)
        else:
            body = payload
            if cose.is_signed(payload):
                body, key = cose.verify(payload, policy.keys, max_bytes=limit)
            elif policy.jobs is JobsPolicy.SIGNED:
                raise UnsignedError(
                    "this device takes signed jobs only: sign it with a key that the device trusts "
                    "(waspi push --sign KEY, where waspi keys list names yours)"
                )
            value = cbor.decode(body, max_bytes=limit)
            try:
                job = job_from(value)
            except EnvelopeError:
                job_id = claimed_id(value)
                raise
            job_id = job.id
        if reply_error is not None:
            raise reply_error  # known before, but only now is there an id to answer it by
        clock = max(now, time_floor)
        _check_job(policy, job, key, clock)
        expires_at = _expiry(job, message.expires_in_s, clock)
    except WaspiError as error:
        answer_id = job_id or f"{UNREAD}{digest.hex()[:16]}"
        default = policy.topics.result(policy.device, route.request or answer_id)
        return Refused(job_id, answer_id, digest, error, reply_to or default, correlation, plain)
    return Admitted(
        job=job,
        body_hash=digest,
        reply_to=reply_to or policy.topics.result(policy.device, route.request or job.id),
        correlation=correlation,
        plain=plain,
        key_id=None if key is None else key.kid,
        expires_at=expires_at,
    )


def digest_of(policy: Policy, payload: bytes) -> bytes:
    """SHA-256 (32 bytes) of a message, of its first ``message_bytes`` where it is longer."""
    limit = policy.limits.message_bytes
    return body_hash(payload if len(payload) <= limit else payload[:limit])


def _reply(policy: Policy, message: Publication) -> tuple[str | None, bytes | None, WaspiError | None]:
    """The Response Topic if it is allowed, the Correlation Data if short enough, and what is wrong with them."""
    reply_to, correlation = message.reply_to, message.correlation
    if correlation is not None and len(correlation) > MAX_CORRELATION:
        error = TopicError(f"Correlation Data of {len(correlation)} bytes: {MAX_CORRELATION} are allowed")
        return None, None, error
    if reply_to is None:
        return None, correlation, None
    try:
        return policy.replies.check(reply_to), correlation, None
    except TopicError as error:
        return None, correlation, error


def _check_message(policy: Policy, route: Route, message: Publication) -> None:
    if route.kind in (RouteKind.GROUP_JOB, RouteKind.GROUP_RUN):
        if route.group not in policy.groups:
            raise TopicError(f"a job for group {shown(route.group)}, which this device is not in")
    elif route.kind not in (RouteKind.DEVICE_JOB, RouteKind.RUN):
        raise TopicError(f"no job is taken on a topic for {route.kind}")
    elif route.device != policy.device:
        raise TopicError(f"a job for device {shown(route.device)} came to device {policy.device}")
    if message.retain:
        raise RetainedJobError("a retained job is state, not a trigger: publish it without the retain flag")
    if len(message.payload) > policy.limits.message_bytes:
        raise InputTooLargeError(
            f"a job message of {len(message.payload)} bytes: this device takes {policy.limits.message_bytes}"
        )


def _plain_job(policy: Policy, module: str, payload: bytes, plain_id: str) -> Job:
    if not is_id(plain_id):
        raise TopicError(f"plain request without a usable job id: {shown(plain_id)}")
    if policy.jobs is JobsPolicy.SIGNED and module not in policy.open_modules:
        raise NotAllowedError(
            f"module {shown(module)} is not open to plain requests on this device: "
            "send a signed job, or open the module by name"
        )
    return Job(id=plain_id, module=NamedModule(module), inputs=(payload,))


def _check_job(policy: Policy, job: Job, key: TrustedKey | None, clock: float) -> None:
    if key is not None:
        authorize(
            job,
            key,
            device=policy.device,
            groups=policy.groups,
            now=clock,
            horizon_s=policy.horizon_s,
            memory_since=policy.memory_since,
        )
    elif job.audience is not None:
        what, _, name = job.audience.partition("/")
        if not (name == policy.device if what == "device" else name in policy.groups):
            raise NotAllowedError(f"job {job.id} is for {job.audience}, not for device {policy.device}")
    if isinstance(job.module, InlineModule):
        if policy.inline is InlinePolicy.DENY:
            raise NotAllowedError("this device takes no inline modules: name one that it has")
        if policy.inline is InlinePolicy.SIGNED and key is None:
            raise NotAllowedError("this device takes inline modules in signed jobs only: sign it, or name a module")
        if len(job.module.wasm) > policy.limits.module_bytes:
            raise ModuleTooLargeError(
                f"inline module of {len(job.module.wasm)} bytes: this device takes {policy.limits.module_bytes}"
            )
    size = len(job.inputs[0]) if len(job.inputs) == 1 else sum(map(len, job.inputs))
    if size > policy.limits.input_bytes:
        raise InputTooLargeError(f"input of {size} bytes: this device takes {policy.limits.input_bytes}")


def _expiry(job: Job, expires_in_s: int | None, clock: float) -> float | None:
    """When the job must have started; raises :class:`ExpiredError` when that has passed."""
    expires_at = job.expires_at
    if expires_at is not None and expires_at <= clock:
        raise ExpiredError(f"job {job.id} expired {clock - expires_at:.0f} s ago by this device's clock")
    if expires_in_s is None:
        return expires_at
    if expires_in_s <= 0:
        raise ExpiredError(f"job {job.id}: its Message Expiry Interval has run out")
    return clock + expires_in_s if expires_at is None else min(expires_at, clock + expires_in_s)
