"""The job envelope: CBOR bytes <-> :class:`waspi.model.job.Job`.

``{v: 1, id, module, input | inputs, abi?, limits?, expires_at?, priority?, audience?,
issued_at?}``, where ``module``
is ``{inline: bytes}``, ``{sha256: text of 64 lower-case hexadecimal digits}`` or ``{name, version?}``.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, ModuleRef, NamedModule
from waspi.protocol import cbor, field, terms
from waspi.protocol.ids import is_digest, is_id, is_version, shown

MAX_BYTES: Final = 24 * 1024 * 1024
"""Longest job envelope that is decoded when the caller does not say otherwise; devices say less."""
MAX_INPUTS: Final = 4096
"""Inputs of a batch."""
PRIORITIES: Final = (-100, 100)

_KEYS: Final = frozenset(
    ("v", "id", "module", "input", "inputs", "abi", "limits", "expires_at", "priority", "audience", "issued_at")
)
_INLINE: Final = frozenset(("inline",))
_DIGEST: Final = frozenset(("sha256",))
_NAMED: Final = frozenset(("name", "version"))
_NO_LIMITS: Final = Limits()

# Most jobs of a device have one of few; what comes back is not to be changed.
_abi_fields = lru_cache(maxsize=64)(terms.abi_fields)
_limits_fields = lru_cache(maxsize=64)(terms.limits_fields)


def body_hash(data: bytes) -> bytes:
    """SHA-256 (32 bytes) of a message as it was received: what tells a duplicate from another body with the same id."""
    return hashlib.sha256(data).digest()


def decode_job(data: bytes, *, max_bytes: int = MAX_BYTES) -> Job:
    """Decode a job; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    return job_from(cbor.decode(data, max_bytes=max_bytes))


def claimed_id(value: object) -> str | None:
    """The id that a decoded message claims to have, if it is one: so that a bad envelope can be answered by its id."""
    if type(value) is dict:
        claimed = value.get("id")
        if type(claimed) is str and is_id(claimed):
            return claimed
    return None


def job_from(value: object) -> Job:
    """Read a job from a decoded data item; raises :class:`EnvelopeError` that names the wrong field."""
    fields = field.envelope(value, "job", _KEYS)
    get = fields.get
    job_id = field.identifier(fields, "id", "job")
    if "inputs" in fields:
        if "input" in fields:
            raise EnvelopeError("job: 'input' and 'inputs' are both there; send one")
        batch = True
        inputs = tuple(
            field.octets(item, "job: each of 'inputs'")
            for item in field.items(get("inputs"), "job: 'inputs'", most=MAX_INPUTS)
        )
        if not inputs:
            raise EnvelopeError("job: 'inputs' is empty; send at least one")
    else:
        batch = False
        inputs = (field.octets(get("input"), "job: 'input'"),)
    return Job(
        id=job_id,
        module=_module(get("module")),
        inputs=inputs,
        batch=batch,
        abi=terms.abi_of(fields["abi"], "job") if "abi" in fields else None,
        limits=terms.limits_of(fields["limits"], "job") if "limits" in fields else _NO_LIMITS,
        expires_at=field.moment(fields["expires_at"], "job: 'expires_at'") if "expires_at" in fields else None,
        priority=(
            field.integer(fields["priority"], "job: 'priority'", least=PRIORITIES[0], most=PRIORITIES[1])
            if "priority" in fields
            else 0
        ),
        audience=_audience(fields["audience"]) if "audience" in fields else None,
        issued_at=field.moment(fields["issued_at"], "job: 'issued_at'") if "issued_at" in fields else None,
    )


def encode_job(job: Job, *, check: bool = True) -> bytes:
    """Encode a job deterministically; fields that have their default are left out.

    Raises :class:`EnvelopeError` for a job that :func:`decode_job` would refuse; ``check=False`` saves that for a job
    that came out of :func:`decode_job`.
    """
    # Keys stand in deterministic order (shorter first, then by bytes), which encode_sorted relies on.
    fields: dict[str, object] = {"v": field.VERSION, "id": job.id}
    if job.abi is not None:
        # Stated in full: a description that is there replaces the one of a named module as a whole.
        fields["abi"] = _abi_fields(job.abi)
    if job.batch:
        fields["inputs"] = list(job.inputs)
    elif len(job.inputs) == 1:
        fields["input"] = job.inputs[0]
    else:
        raise EnvelopeError(f"job: {len(job.inputs)} inputs, but it is no batch")
    limits = _limits_fields(job.limits)
    if limits:
        fields["limits"] = limits
    fields["module"] = _module_fields(job.module)
    if job.audience is not None:
        fields["audience"] = job.audience
    if job.priority:
        fields["priority"] = job.priority
    for name, moment in (("issued_at", job.issued_at), ("expires_at", job.expires_at)):
        if moment is not None:
            whole = field.moment(moment, f"job: '{name}'").is_integer()
            fields[name] = int(moment) if whole else moment
    if check:
        job_from(fields)
    # A float has a shortest form of its own, which only the slower encoder finds.
    floats = float in (type(fields.get("expires_at")), type(fields.get("issued_at")))
    return cbor.encode(fields) if floats else cbor.encode_sorted(fields)


def _module(value: object) -> ModuleRef:
    if type(value) is dict:
        if "inline" in value:
            fields = field.closed(value, "job: 'module' with 'inline'", _INLINE)
            wasm = field.octets(fields["inline"], "job: 'module.inline'")
            if not wasm:
                raise EnvelopeError("job: 'module.inline' is empty; put the module's bytes there")
            return InlineModule(wasm)
        if "sha256" in value:
            fields = field.closed(value, "job: 'module' with 'sha256'", _DIGEST)
            digest = fields["sha256"]
            if type(digest) is not str or not is_digest(digest):
                raise EnvelopeError(f"job: 'module.sha256' must be 64 lower-case hex digits, not {shown(digest)}")
            return DigestModule(digest)
        if "name" in value:
            fields = field.closed(value, "job: 'module' with 'name'", _NAMED)
            name = field.identifier(fields, "name", "job: 'module'")
            if "version" not in fields:
                return NamedModule(name)
            version = fields["version"]
            if type(version) is not str or not is_version(version):
                raise EnvelopeError(f"job: 'module.version' must be a version, not {shown(version)}")
            return NamedModule(name, version)
    raise EnvelopeError("job: 'module' must be one of {inline}, {sha256}, {name, version?}")


def _module_fields(module: ModuleRef) -> dict[str, object]:
    if isinstance(module, InlineModule):
        return {"inline": module.wasm}
    if isinstance(module, DigestModule):
        return {"sha256": module.sha256}
    return {"name": module.name} if module.version is None else {"name": module.name, "version": module.version}


def _audience(value: object) -> str:
    audience = field.text(value, "job: 'audience'", longest=80)
    what, _, name = audience.partition("/")
    if what not in ("device", "group") or not is_id(name):
        raise EnvelopeError(f"job: 'audience' must be device/<id> or group/<id>, not {shown(audience)}")
    return audience
