"""Whose signature counts for what: trusted keys, their roles and scopes, and what a signed job must say."""

from __future__ import annotations

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waspi.errors import ConfigError, ExpiredError, NotAllowedError, SignatureError
from waspi.model.job import Job
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.protocol.ids import is_id, shown

KEY_BYTES: Final = 32
"""An Ed25519 public key or seed (RFC 8032)."""
DEFAULT_HORIZON_S: Final = 7 * 24 * 3600
"""How far ahead the expiry of a signed job may lie, in seconds: as long as the session at the broker lives."""


class Role(StrEnum):
    """What a key may ask for."""

    RUN = "run"
    """Jobs that name a module which the device has."""
    INLINE = "inline"
    """Jobs that bring their bytecode along, too."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that a device believes, and how far. Raises :class:`ConfigError` for a wrong id or length."""

    kid: str
    """Key id, an id of the protocol; travels in the signature's protected header."""
    public_key: bytes
    """Ed25519, 32 raw bytes."""
    roles: frozenset[Role] = frozenset(Role)
    groups: frozenset[str] | None = None
    """Groups that the key may address, and the devices in them one by one; ``None``: every audience."""
    modules: frozenset[str] | None = None
    """What the key may run, by the modules' own ABI descriptions; ``None``: every module, in every way.

    ``<name>`` (whatever version is on the device), ``<name>@<version>`` or ``sha256:<hex>``.
    """

    def __post_init__(self) -> None:
        if not is_id(self.kid):
            raise ConfigError(f"key id {shown(self.kid)} is not allowed: use 1 to 63 of a-z, 0-9 and '-'")
        if len(self.public_key) != KEY_BYTES:
            raise ConfigError(f"key {self.kid}: an Ed25519 public key has 32 bytes, not {len(self.public_key)}")


def key_id(public_key: bytes) -> str:
    """The id that a key has when nobody gave it one: first 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def authorize(
    job: Job,
    key: TrustedKey,
    *,
    device: str,
    groups: AbstractSet[str],
    now: float,
    horizon_s: float = DEFAULT_HORIZON_S,
    memory_since: float = 0.0,
) -> None:
    """Check what a job, well signed by ``key``, asks of ``device``, which is in ``groups``, at Unix time ``now``.

    The audience must be this device or one of its groups, so that a job cannot be sent on to another. It must expire,
    no later than ``now + horizon_s``: the device's memory of job ids (which answers a replay with the stored result) is
    kept at least until then, so that a replay is either a duplicate or expired, never run again. A device that has lost
    that memory at ``memory_since`` (Unix time) takes only jobs that were issued later, until all others have expired.

    Raises :class:`SignatureError` (audience, no expiry, too far ahead), :class:`ExpiredError` or
    :class:`NotAllowedError` (the key's roles and scopes).
    """
    _check_audience(job, key, device, groups)
    if job.expires_at is None:
        raise SignatureError("a signed job must say 'expires_at': sign it again with an expiry")
    if job.expires_at <= now:
        raise ExpiredError(f"signed job {job.id} expired {now - job.expires_at:.0f} s ago by this device's clock")
    if job.expires_at > now + horizon_s:
        raise SignatureError(
            f"signed job {job.id} expires {job.expires_at - now:.0f} s ahead of this device's clock, "
            f"{horizon_s:.0f} s are allowed: sign it with an earlier expiry, or set the device's clock"
        )
    if now < memory_since + horizon_s and (job.issued_at is None or job.issued_at <= memory_since):
        raise SignatureError(
            f"this device lost its memory of jobs at Unix time {memory_since:.0f} and cannot tell whether job {job.id}"
            " is new: sign it again with an 'issued_at' after that"
        )
    _check_module(job, key)


def _check_audience(job: Job, key: TrustedKey, device: str, groups: AbstractSet[str]) -> None:
    if job.audience is None:
        raise SignatureError("a signed job must name its 'audience', device/<id> or group/<id>: sign it again with one")
    what, _, name = job.audience.partition("/")
    if not (name == device if what == "device" else name in groups):
        raise SignatureError(f"signed job {job.id} is for {job.audience}, not for device {device}")
    if key.groups is None:
        return
    in_scope = name in key.groups if what == "group" else not key.groups.isdisjoint(groups)
    if not in_scope:
        raise NotAllowedError(f"key {key.kid} may not address {job.audience}: its groups are {_listed(key.groups)}")


def _check_module(job: Job, key: TrustedKey) -> None:
    module = job.module
    if isinstance(module, InlineModule):
        if Role.INLINE not in key.roles:
            raise NotAllowedError(f"key {key.kid} has no role 'inline': name a module that the device has")
        named = f"sha256:{hashlib.sha256(module.wasm).hexdigest()}" if key.modules is not None else ""
    else:
        if not key.roles:
            raise NotAllowedError(f"key {key.kid} has no role that lets it run jobs")
        named = f"sha256:{module.sha256}" if isinstance(module, DigestModule) else module.name
    if key.modules is None:
        return
    pinned = f"{named}@{module.version}" if isinstance(module, NamedModule) and module.version else named
    if key.modules.isdisjoint((named, pinned)):
        raise NotAllowedError(f"key {key.kid} may not run {pinned}: its modules are {_listed(key.modules)}")
    if job.abi is not None:
        raise NotAllowedError(
            f"key {key.kid} is limited to {_listed(key.modules)}, called as their own descriptions say: "
            "leave the job's description (entry, abi) out, or sign with a key that is not limited"
        )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
