"""What a device lets in: the part of its configuration that :mod:`waspi.protocol.admission` decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from enum import StrEnum

from waspi.errors import ConfigError
from waspi.protocol.ids import check_id
from waspi.protocol.response_topic import ResponseTopics
from waspi.protocol.topics import Topics
from waspi.protocol.trust import DEFAULT_HORIZON_S, TrustedKey


class JobsPolicy(StrEnum):
    """Configuration key ``jobs``."""

    SIGNED = "signed"
    """Only jobs signed by a trusted key; the plain topic only for modules that are opened by name."""
    ANY = "any"
    """Whatever the broker's access control lets through. A signature that is there must still be good."""


class InlinePolicy(StrEnum):
    """Configuration key ``inline_modules``: whether a job may bring its bytecode along."""

    ALLOW = "allow"
    SIGNED = "signed"
    """Only a signed one, by a key with the role ``inline``."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Bounds of an incoming job, each in bytes, all checked before anything is run."""

    message_bytes: int = 17 * 1024 * 1024
    """The whole message; checked before it is decoded."""
    input_bytes: int = 4 * 1024 * 1024
    """Input, or all inputs together."""
    module_bytes: int = 16 * 1024 * 1024
    """Inline module."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All that admission needs to know of the device. Raises :class:`ConfigError` for policies that cannot hold."""

    topics: Topics
    device: str
    replies: ResponseTopics
    groups: frozenset[str] = frozenset()
    jobs: JobsPolicy = JobsPolicy.ANY
    inline: InlinePolicy = InlinePolicy.ALLOW
    open_modules: frozenset[str] = frozenset()
    """Names of modules that the plain topic runs although ``jobs`` is ``signed``."""
    keys: Mapping[str, TrustedKey] = attribute(default_factory=dict)
    """Trusted keys by key id."""
    limits: InputLimits = attribute(default_factory=InputLimits)
    horizon_s: float = DEFAULT_HORIZON_S
    """How far ahead a signed job may expire, in seconds; the journal keeps job ids at least as long."""
    memory_since: float = 0.0
    """Unix time at which the device lost its memory of job ids, 0 if it never did."""

    def __post_init__(self) -> None:
        check_id(self.device, "device")
        for group in self.groups:
            check_id(group, "group")
        if self.jobs is JobsPolicy.SIGNED and not self.keys and not self.open_modules:
            raise ConfigError("jobs = 'signed' without a trusted key refuses every job: add a key, or say jobs = 'any'")
        for kid, key in self.keys.items():
            if kid != key.kid:
                raise ConfigError(f"trusted key {key.kid} is listed as {kid}: one of the two is wrong")
