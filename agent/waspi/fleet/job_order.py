"""A job as an operator orders it, made into what travels."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from waspi.abi_description import AbiSource
from waspi.errors import UsageError
from waspi.fleet.module_source import ModuleSource, abi_for, module_from
from waspi.fleet.pending_job import PendingJob
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule
from waspi.protocol import cose
from waspi.protocol.ids import check_id
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from waspi.errors import WaspiError
    from waspi.fleet.key_file import KeyFile
    from waspi.model.result import Result
    from waspi.protocol.topics import Topics

SIGNED_EXPIRES_IN_S = 3600
"""Expiry of a signed job that states none, rounded up to whole multiples of it: devices refuse a signed job that never
expires, and the same job sent again soon after has to be the same bytes."""
_CORRELATION_BYTES = 16


class JobOptions(TypedDict, total=False):
    """What an order may say besides module and input."""

    abi: AbiSource
    """ABI description; by default that of the named module, else the reference ABI."""
    limits: Limits
    """What the run may use; the device's own limits cap it."""
    priority: int
    """-100..100, higher first."""
    expires_in_s: float | None
    """Seconds after which it must not start any more."""
    detached: bool
    """The answer goes to the device's own result topic, for whoever watches, rather than to this client alone."""
    job_id: str
    """An id of the protocol; by default a random one. The same id with the same body never runs twice."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """A job with its address, encoded and perhaps signed: the same bytes at every resend."""

    id: str
    device: str | None
    group: str | None
    body: bytes
    expires_at: float | None
    detached: bool = False
    input_bytes: int = 0
    """Of all inputs together."""
    module_bytes: int = 0
    """Of the module, where it travels with the job."""

    @classmethod
    def make(
        cls,
        module: ModuleSource,
        data: Buffer | Sequence[Buffer],
        *,
        options: JobOptions,
        device: str | None = None,
        group: str | None = None,
        signing_key: KeyFile | None = None,
    ) -> JobOrder:
        """Check and encode an order for ``device`` or for ``group``.

        Raises :class:`TopicError` for a wrong id, :class:`EnvelopeError` for values out of bounds,
        :class:`OperatorError` for files, keys and options that there are not.
        """
        known = JobOptions.__annotations__
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise UsageError(f"a job has no option {unknown[0]!r}; known are {', '.join(sorted(known))}")
        audience = f"device/{check_id(device, 'device')}" if device is not None else None
        if group is not None:
            audience = f"group/{check_id(group, 'group')}"
        if audience is None:
            raise UsageError("a job needs a device or a group")
        expires_in = options.get("expires_in_s")
        now = int(time.time())
        expires_at = None if expires_in is None else float(int(now + expires_in))
        if expires_in is None and signing_key is not None:
            expires_at = float((now // SIGNED_EXPIRES_IN_S + 2) * SIGNED_EXPIRES_IN_S)
        inputs = _inputs(data)
        job = Job(
            id=check_id(options.get("job_id") or f"j-{secrets.token_hex(10)}", "job"),
            module=module_from(module),
            inputs=inputs,
            batch=isinstance(data, list | tuple),
            abi=abi_for(module, options.get("abi")),
            limits=options.get("limits", Limits()),
            expires_at=expires_at,
            priority=options.get("priority", 0),
            audience=audience if signing_key is not None else None,
            # On the hour, as the expiry: the same job, sent again soon after, has to be the same bytes.
            issued_at=float(now // SIGNED_EXPIRES_IN_S * SIGNED_EXPIRES_IN_S) if signing_key is not None else None,
        )
        body = encode_job(job)
        if signing_key is not None:
            body = cose.sign(body, seed=signing_key.seed(), kid=signing_key.id)
        return cls(
            job.id,
            device,
            group,
            body,
            expires_at,
            options.get("detached", False),
            input_bytes=sum(map(len, inputs)),
            module_bytes=len(job.module.wasm) if isinstance(job.module, InlineModule) else 0,
        )

    def pending(
        self,
        topics: Topics,
        on_result: Callable[[Result], bool],
        on_failure: Callable[[WaspiError], object],
        on_taken: Callable[[], None],
    ) -> PendingJob:
        """Give what the courier carries."""
        return PendingJob(
            id=self.id,
            device=self.device,
            group=self.group,
            topic=topics.device_job(self.device) if self.device is not None else topics.group_job(self.group or ""),
            body=self.body,
            content_type=CONTENT_TYPE,
            correlation=secrets.token_bytes(_CORRELATION_BYTES),
            on_result=on_result,
            on_failure=on_failure,
            on_taken=on_taken,
            detached=self.detached,
            expires_at=self.expires_at,
            input_bytes=self.input_bytes,
            module_bytes=self.module_bytes,
        )


def _inputs(data: object) -> tuple[bytes, ...]:
    return tuple(_octets(each) for each in data) if isinstance(data, list | tuple) else (_octets(data),)


def _octets(data: object) -> bytes:
    if isinstance(data, str):
        raise UsageError("input must be bytes; encode the text: input.encode()")
    try:
        return bytes(memoryview(data))  # type: ignore[arg-type]  # whatever is no buffer raises TypeError
    except TypeError as error:
        raise UsageError(f"input must be bytes-like, not {type(data).__name__}") from error
