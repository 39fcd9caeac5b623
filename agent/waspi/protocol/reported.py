"""Reported state: retained JSON in which a device says what it is, what it has and how it is bounded.

``{"version", "engine", "arch", "boot", "sandbox": {layer: state}, "modules": [{"name", "version", "sha256", "state",
"reason"?, "available"?}], "limits": {…}, "groups": […], "labels": {…}, "counters": {…}, "deployments"?: {group:
serial}, "last_job"?: {"id", "state", "at"}, "clock"?: "unset", "updates"?: reason}``. Home Assistant and the like read
it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from dataclasses import fields as fields_of
from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.limits import Limits
from waspi.model.state import JobState
from waspi.protocol import field, json_document
from waspi.protocol.ids import is_digest, is_id, is_version, shown

MAX_BYTES: Final = 256 * 1024
MAX_ENTRIES: Final = 1024
"""Modules, groups, labels, counters, layers: each no more than this."""
MAX_NAME: Final = 256
"""Characters of a label's, a counter's, a layer's name."""
MAX_REASON: Final = 256
"""Characters; what is longer is cut when it is encoded."""
LARGEST_PACKET: Final = 268_435_460
"""Bytes of the largest packet that MQTT 5.0 can say (2.1.4), fixed header included."""


@dataclass(frozen=True, slots=True)
class ReportedModule:
    """One deployed module, in one version."""

    name: str
    version: str
    sha256: str
    """64 lower-case hexadecimal digits."""
    state: str
    """Where it is in its life: ``ACTIVE``, ``TRIAL``, ``ROLLED_BACK``, ..."""
    reason: str = ""
    """Why it failed or was rolled back."""
    available: str = ""
    """A version that the deployment offers in place of this one and that the device did not take (so far)."""


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What a device takes at most, in bytes; ``None``: it did not say. On the wire these are keys of ``limits``."""

    packet_bytes: int | None = None
    """A whole MQTT packet, as it asks of the broker: a larger one never reaches it."""
    input_bytes: int | None = None
    """All inputs of one job."""
    module_bytes: int | None = None
    """A module that comes with a job."""


@dataclass(frozen=True, slots=True)
class LastJob:
    """The newest job that a device has taken."""

    id: str
    state: JobState
    at: int
    """Unix time in seconds, by the device's clock, at which it came."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a device says of itself."""

    version: str
    """Of waspi."""
    engine: str
    """Name and version of the WebAssembly engine."""
    arch: str
    """Target triple."""
    boot: str
    """The boot id of its presence."""
    sandbox: Mapping[str, str] = attribute(default_factory=dict)
    """Layer of the sandbox (``seccomp``, ``landlock``, ...) to what it is: ``on``, or why it is not."""
    modules: tuple[ReportedModule, ...] = ()
    limits: Limits = attribute(default_factory=Limits)
    """What the device grants a job at most."""
    message_limits: MessageLimits = attribute(default_factory=MessageLimits)
    """How large what is sent to it may be."""
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = attribute(default_factory=dict)
    """The operator's own words on the device."""
    counters: Mapping[str, int] = attribute(default_factory=dict)
    """Counts since the device was installed, which never go back; ``rejected`` begins anew with the agent, since a
    refusal leaves no trace on the disk."""
    deployments: Mapping[str, int] = attribute(default_factory=dict)
    """Group to the serial of its newest deployment that the device has read."""
    last_job: LastJob | None = None
    """As of this report, which is not made for every job."""
    clock_unset: bool = False
    """Whether its clock says a time that has long passed: no expiry can be told, and its own times are floors."""
    updates: str = ""
    """Why the last look for updates failed; empty when it went well."""


def encode_reported(reported: Reported) -> bytes:
    """Encode as JSON; the same value gives the same bytes, so that an unchanged report need not be sent."""
    limits = {
        limit.name: getattr(part, limit.name)
        for part in (reported.limits, reported.message_limits)
        for limit in fields_of(part)
    }
    deployments = {"deployments": dict(sorted(reported.deployments.items()))} if reported.deployments else {}
    return json_document.encode_document(
        {
            "version": reported.version,
            "engine": reported.engine,
            "arch": reported.arch,
            "boot": reported.boot,
            "sandbox": dict(sorted(reported.sandbox.items())),
            "modules": [_module_fields(module) for module in reported.modules],
            "limits": {name: limit for name, limit in limits.items() if limit is not None},
            "groups": list(reported.groups),
            "labels": dict(sorted(reported.labels.items())),
            "counters": dict(sorted(reported.counters.items())),
            **deployments,
            **_last_job_fields(reported.last_job),
            **({"clock": "unset"} if reported.clock_unset else {}),
            **({"updates": reported.updates[:MAX_REASON]} if reported.updates else {}),
        }
    )


def decode_reported(data: bytes) -> Reported:
    """Decode; unknown keys are passed over. Raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = json_document.decode_document(data, "reported state", max_bytes=MAX_BYTES)
    text = json_document.text_field
    limits = _map(fields.get("limits"), "limits")
    counters = _map(fields.get("counters"), "counters")
    return Reported(
        version=text(fields, "version", "reported state"),
        engine=text(fields, "engine", "reported state"),
        arch=text(fields, "arch", "reported state"),
        boot=field.identifier(fields, "boot", "reported state"),
        sandbox=_texts(fields.get("sandbox"), "sandbox"),
        modules=tuple(map(_module, _list(fields.get("modules"), "modules"))),
        limits=Limits(
            **{
                limit.name: field.integer(limits[limit.name], f"reported state: 'limits.{limit.name}'")
                for limit in fields_of(Limits)
                if limit.name in limits
            }
        ),
        message_limits=MessageLimits(
            **{
                limit.name: field.integer(
                    limits[limit.name], f"reported state: 'limits.{limit.name}'", least=1, most=LARGEST_PACKET
                )
                for limit in fields_of(MessageLimits)
                if limit.name in limits
            }
        ),
        groups=tuple(_group(group) for group in _list(fields.get("groups"), "groups")),
        labels=_texts(fields.get("labels"), "labels"),
        counters={
            _name(key, "counters"): field.integer(value, f"reported state: 'counters' {shown(key)}")
            for key, value in counters.items()
        },
        deployments=_serials(fields["deployments"]) if "deployments" in fields else {},
        last_job=_last_job(fields["last_job"]) if "last_job" in fields else None,
        clock_unset=fields.get("clock") == "unset",
        updates=json_document.text_field(fields, "updates", "reported state") if "updates" in fields else "",
    )


def _module_fields(module: ReportedModule) -> dict[str, str]:
    fields = {"name": module.name, "version": module.version, "sha256": module.sha256, "state": module.state}
    if module.reason:
        fields["reason"] = module.reason[:MAX_REASON]
    if module.available:
        fields["available"] = module.available
    return fields


def _module(value: object) -> ReportedModule:
    what = "reported state: each of 'modules'"
    if type(value) is not dict:
        raise EnvelopeError(f"{what} must be an object")
    version = json_document.text_field(value, "version", what)
    digest = json_document.text_field(value, "sha256", what)
    if not is_version(version) or not is_digest(digest):
        raise EnvelopeError(f"{what} must have a version and a SHA-256, not {shown(version)} and {shown(digest)}")
    available = json_document.text_field(value, "available", what) if "available" in value else ""
    if available and not is_version(available):
        raise EnvelopeError(f"{what}: 'available' must be a version, not {shown(available)}")
    return ReportedModule(
        name=field.identifier(value, "name", what),
        version=version,
        sha256=digest,
        state=json_document.text_field(value, "state", what, shortest=1, longest=32),
        reason=json_document.text_field(value, "reason", what) if "reason" in value else "",
        available=available,
    )


def _last_job_fields(job: LastJob | None) -> dict[str, object]:
    return {"last_job": {"id": job.id, "state": job.state.value, "at": job.at}} if job is not None else {}


def _last_job(value: object) -> LastJob:
    what = "reported state: 'last_job'"
    if type(value) is not dict:
        raise EnvelopeError(f"{what} must be an object")
    state = field.member(value.get("state"), f"{what}: 'state'", (state.value for state in JobState))
    return LastJob(
        id=field.identifier(value, "id", what),
        state=JobState(state),
        at=field.integer(value.get("at"), f"{what}: 'at'", most=field.MAX_TIME),
    )


def _serials(value: object) -> dict[str, int]:
    return {
        _group(group): field.integer(serial, f"reported state: serial of {shown(group)}")
        for group, serial in _map(value, "deployments").items()
    }


def _group(value: object) -> str:
    if type(value) is not str or not is_id(value):
        raise EnvelopeError(f"reported state: 'groups' holds {shown(value)}, which is no id")
    return value


def _list(value: object, key: str) -> list[object]:
    return field.items(value, f"reported state: {key!r}", most=MAX_ENTRIES)


def _map(value: object, key: str) -> dict[str, object]:
    if type(value) is not dict or len(value) > MAX_ENTRIES:
        raise EnvelopeError(f"reported state: {key!r} must be an object with up to {MAX_ENTRIES} keys")
    return value


def _texts(value: object, key: str) -> dict[str, str]:
    entries = _map(value, key)
    return {
        _name(name, key): field.text(entry, f"reported state: '{key}.{shown(name)}'") for name, entry in entries.items()
    }


def _name(value: str, key: str) -> str:
    return field.text(value, f"reported state: a name in {key!r}", longest=MAX_NAME)
