"""The agent's configuration: one TOML file, read into frozen values."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from waspi.errors import ConfigError, TopicError
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls
from waspi.protocol.ids import check_id
from waspi.protocol.policy import InlinePolicy, JobsPolicy
from waspi.protocol.response_topic import DEFAULT_PREFIXES
from waspi.protocol.trust import TrustedKey

if TYPE_CHECKING:
    from waspi.updates.settings import UpdatesConfig  # loaded by devices that take updates

MIB = 1024 * 1024
PARTS_OF_LOCKDOWN = ("seccomp", "landlock", "no_new_privs", "rlimits")


class Sync(StrEnum):
    """How hard the journal presses its commits to the disk."""

    FULL = "full"
    """Every commit is on the disk before it counts: survives a power cut."""
    OFF = "off"
    """The kernel writes when it likes: survives a crash of the agent, not a power cut."""


class StatusReports(StrEnum):
    """Which state changes before the last one are told on the status topic."""

    ALL = "all"
    SLOW = "slow"
    """Only of jobs that are not finished after ``slow_after_ms``."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """``[broker]``: where the broker is and how the session behaves."""

    address: BrokerAddress
    username: str | None = None
    password: str | None = None
    tls: Tls = field(default_factory=Tls)
    keepalive_s: int = 60
    receive_maximum: int = 32
    window: int = 64
    max_packet_bytes: int = 8 * MIB
    will_delay_s: int = 10
    session_expiry_s: int = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """``[policy]``: what publishers may do."""

    jobs: JobsPolicy = JobsPolicy.ANY
    inline_modules: InlinePolicy = InlinePolicy.ALLOW
    open_modules: tuple[str, ...] = ()
    """Modules that the plain topic may run although ``jobs = "signed"``."""
    reply_prefixes: tuple[str, ...] = DEFAULT_PREFIXES
    require: tuple[str, ...] = ()
    """Parts of the sandbox without which the agent does not start."""
    keys: tuple[TrustedKey, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """``[queue]``: workers and waiting jobs."""

    workers: int = 0
    """Worker processes at once; 0: one for each core."""
    idle_s: float = 30.0
    max_jobs: int = 20_000
    max_bytes: int = 64 * MIB
    input_bytes: int = 4 * MIB


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """``[budget]``: what all jobs together may take; 0: no bound."""

    run_ms_per_minute: int = 0
    """Milliseconds inside guests, all workers together; 60,000 is one core."""
    memory_bytes: int = 0
    """Sum of the memory limits of the jobs that run at once."""


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """``[journal]``: what is kept on disk."""

    sync: Sync = Sync.FULL
    outbox_bytes: int = 64 * MIB
    retention_s: int = 7 * 24 * 3600
    max_jobs: int = 100_000


@dataclass(frozen=True, slots=True)
class LocalModule:
    """``[modules.<name>]``: a module that lies on the device."""

    name: str
    path: Path
    version: str = "0"
    abi: Path | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the agent is told."""

    id: str
    fleet: str
    groups: tuple[str, ...]
    labels: Mapping[str, str]
    state_dir: Path
    broker: BrokerConfig
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    limits: Limits = DEFAULT_LIMITS
    queue: QueueConfig = field(default_factory=QueueConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
    cache_bytes: int = 256 * MIB
    status: StatusReports = StatusReports.SLOW
    slow_after_ms: int = 500
    modules: tuple[LocalModule, ...] = ()
    updates: UpdatesConfig | None = None
    """``None``: no updates are taken."""
    log_level: str = "info"
    trace: bool = False
    """Whether each result's log begins with what happened in the guest's memory: pointers, sizes, addresses."""


def default_id() -> str:
    """The host's name, made to fit the id grammar."""
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in socket.gethostname().lower())
    return name.strip("-")[:63] or "device"


def default_state_dir() -> Path:
    """Systemd's ``STATE_DIRECTORY``, else ``/var/lib/waspi``."""
    return Path(os.environ.get("STATE_DIRECTORY", "/var/lib/waspi").split(":")[0])


def check_name(what: str, name: str) -> str:
    """``name`` if it fits the id grammar, else ``ConfigError``."""
    try:
        return check_id(name, what)
    except TopicError as error:
        raise ConfigError(error.message) from error
