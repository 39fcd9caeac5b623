"""The agent's configuration: one TOML file, read into frozen values.

This is the table of its keys: an attribute's line states type, default, bounds and purpose, and nothing else does.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waspi.device.config_key import (
    Form,
    Section,
    an_id,
    choice,
    default_of,
    file,
    flag,
    ident,
    number,
    one_of,
    table,
    text,
    texts,
    whole,
)
from waspi.errors import ConfigError
from waspi.journal.quotas import Quotas
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import LinkSettings, Tls, Will
from waspi.protocol.policy import InlinePolicy, InputLimits, JobsPolicy, Policy
from waspi.protocol.response_topic import DEFAULT_PREFIXES
from waspi.protocol.trust import Role, TrustedKey
from waspi.sandbox.settings import Isolation, ModuleBounds, PoolSettings

if TYPE_CHECKING:
    from waspi.updates.settings import UpdatesConfig  # loaded by devices that take updates

KIB = 1024
MIB = 1024 * KIB
_HOUR = 3600
_DAY = 24 * _HOUR
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


class LogLevel(StrEnum):
    """What is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_id() -> str:
    """The host's name, made to fit the id grammar."""
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in socket.gethostname().lower())
    return name.strip("-")[:63] or "device"


def default_state_dir() -> Path:
    """Systemd's ``STATE_DIRECTORY``, else ``/var/lib/waspi``."""
    return Path(os.environ.get("STATE_DIRECTORY", "/var/lib/waspi").split(":")[0])


def _public_key(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


def _web_address(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ConfigError("expected https://...; leave it out to update from the depots on MQTT")
    return value


def _limits(default: Limits) -> Section[Limits]:
    """Limits of a run; ``default`` is what holds where the file states none."""
    memory, output, log = default.memory_bytes, default.output_bytes, default.log_bytes
    return Section(
        Limits,
        fuel=whole(default.fuel, 1, 2**62, "Wasm operators", example=10**9),
        memory_bytes=whole(
            memory and memory // MIB, 1, 4096, "a guest's memory", key="memory_mib", unit=MIB, example=16
        ),
        time_ms=whole(default.time_ms, 1, 1000 * _DAY, "from the start to the result", example=1000),
        output_bytes=whole(
            output and output // KIB, 1, 256 * KIB, "largest output", key="output_kib", unit=KIB, example=64
        ),
        log_bytes=whole(
            log and log // KIB, 0, 64 * KIB, "kept of what a guest logs", key="log_kib", unit=KIB, example=4
        ),
    )


TLS = Section(
    Tls,
    ca=file("by default the system's certificates", example="ca.crt"),
    certificate=file("own certificate, for mTLS", example="pi-7.crt"),
    key=file("its private key", secret=True, example="pi-7.key"),
)

TRUSTED_KEY = Section(
    TrustedKey,
    kid=ident("id of the key", key="id", needed=True, example="ops"),
    public_key=text(
        "as waspi keys show prints it",
        said="32 bytes in base64, as waspi keys show prints them",
        convert=_public_key,
        needed=True,
        example="<32 bytes in base64>",
    ),
    groups=texts(
        "may address only these groups",
        default=None,
        of=an_id,
        said="groups",
        collect=frozenset,
        empty=False,
        example=("kitchen",),
    ),
    modules=texts(
        "may run only these: name, name@version, sha256:...",
        default=None,
        collect=frozenset,
        said="modules",
        empty=False,
        example=("append",),
    ),
    roles=texts(
        'all, by default; "inline": may bring its own modules',
        default=tuple(Role),
        of=Role,
        said=f"roles: {', '.join(Role)}",
        collect=frozenset,
        example=(Role.RUN,),
    ),
)


def _make_updates(
    *,
    url: str | None,
    interval_s: float,
    spread_s: float,
    trial_jobs: int,
    trial_failures: int,
    **rest: object,
) -> UpdatesConfig:
    from waspi.updates.lifecycle import TrialTerms  # noqa: PLC0415 - only by a device that takes updates
    from waspi.updates.schedule import ScheduleTerms  # noqa: PLC0415
    from waspi.updates.settings import UpdatesConfig  # noqa: PLC0415

    return UpdatesConfig(
        url=url or "",
        schedule=ScheduleTerms(interval_s=interval_s, spread_s=spread_s),
        trial=TrialTerms(jobs=trial_jobs, failures=trial_failures),
        **rest,  # type: ignore[arg-type]  # the keys below
    )


UPDATES = Section(
    _make_updates,
    root=file(
        "the repository's first root metadata: trust begins there", key="root", needed=True, example="1.root.json"
    ),
    url=text(
        "of the repository; left out: from the depots on MQTT (waspi depot)",
        said="https://...",
        convert=_web_address,
        example="https://updates.example",
    ),
    ca=file("the authority of that server; left out: those that the system trusts", example="web-ca.crt"),
    redirect_hosts=texts("hosts that this server may send to, besides itself", example=("cdn.example",)),
    interval_s=number(3600.0, 1.0, 30.0 * _DAY, "between two looks, when no depot announces anything"),
    spread_s=number(10.0, 0.0, float(_DAY), "an announcement is followed after so long at most, by chance"),
    range_bytes=whole(
        64, 4, 64, "asked for at once; less on links where that takes seconds", key="range_kib", unit=KIB
    ),
    window=whole(8, 1, 64, "ranges asked for at once"),
    trial_jobs=whole(20, 1, 1_000_000, "a release is on trial until so many jobs have ended well ..."),
    trial_s=number(3600.0, 1.0, 30.0 * _DAY, "... or for so long,"),
    trial_failures=whole(3, 1, 1_000_000, "and is rolled back when so many fail through its fault"),
)


def _bound(name: str, high: int, comment: str, *, key: str = "", unit: int = 1) -> Any:  # noqa: ANN401 - a key
    """A bound whose default is the sandbox's."""
    return whole(default_of(ModuleBounds, name) // unit, 1, high, comment, key=key, unit=unit)


BOUNDS = Section(
    ModuleBounds,
    module_bytes=_bound("module_bytes", 256, "a module", key="module_mib", unit=MIB),
    code_bytes=_bound("code_bytes", 256, "all of its functions", key="code_mib", unit=MIB),
    functions=_bound("functions", 1_000_000, "imported ones included"),
    body_bytes=_bound("body_bytes", 256 * KIB, "one function", key="body_kib", unit=KIB),
    locals=_bound("locals", 50_000, "of one function"),
    params=_bound("params", 1_000, "of one function type"),
    nesting=_bound("nesting", 100_000, "blocks within blocks of one function"),
    table_elements=_bound("table_elements", 10_000_000, "initial elements of all tables"),
    globals=_bound("globals", 1_000_000, "of one module"),
    data_segments=_bound("data_segments", 100_000, "data segments, and element segments"),
    compile_ms=_bound("compile_ms", 3_600_000, "until compiling is given up; meanwhile no other module is compiled"),
)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """``[broker]``: where the broker is and how the session behaves."""

    address: BrokerAddress = text(
        "mqtts://host:8883 for TLS; mqtt://one,two,three for a cluster",
        default="mqtt://127.0.0.1:1883",
        said="mqtt://host:port[,host:port]",
        convert=BrokerAddress.parse,
        key="url",
    )
    username: str | None = text("where the broker asks for one", example="pi-7")
    password: str | None = text("a file of its own is safer:", example="secret")
    password_file: Path | None = file(
        "relative to this file; systemd's LoadCredential= is found too", secret=True, example="broker.password"
    )
    keepalive_s: int = whole(
        default_of(LinkSettings, "keepalive_s"), 5, 3600, "the connection is looked at when nothing came for so long"
    )
    receive_maximum: int = whole(
        default_of(LinkSettings, "receive_maximum"),
        1,
        1024,
        "messages that the broker may have open toward this device",
    )
    window: int = whole(
        default_of(LinkSettings, "window"), 1, 1024, "publishes in flight, never above the broker's own maximum"
    )
    max_packet_bytes: int = whole(
        default_of(LinkSettings, "max_packet_bytes") // KIB,
        16,
        256 * KIB,
        "largest message",
        key="max_packet_kib",
        unit=KIB,
    )
    will_delay_s: int = whole(default_of(Will, "delay_s"), 0, 3600, "how long the broker waits before it says offline")
    session_expiry_s: int = whole(
        default_of(LinkSettings, "session_expiry_s"),
        0,
        0xFFFF_FFFE,
        "how long the broker keeps jobs for a device that is away",
    )
    tls: Tls = table(TLS, "only with mqtts://")


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """``[policy]``: what publishers may do."""

    jobs: JobsPolicy = choice(default_of(Policy, "jobs"), '"signed": only jobs that a key below has signed')
    inline_modules: InlinePolicy = choice(
        default_of(Policy, "inline"), 'jobs that bring their module: also "signed", "deny"'
    )
    open_modules: tuple[str, ...] = texts('modules that the plain topic may run although jobs = "signed"')
    reply_prefixes: tuple[str, ...] = texts(
        "where answers may go besides the fleet's own topics", default=DEFAULT_PREFIXES
    )
    require: tuple[str, ...] = texts(
        f"refuse to start without: {', '.join(PARTS_OF_LOCKDOWN)}", of=one_of(PARTS_OF_LOCKDOWN)
    )
    keys: tuple[TrustedKey, ...] = table(TRUSTED_KEY, "as waspi keys new and waspi keys show print it", form=Form.LIST)


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """``[queue]``: workers and waiting jobs."""

    workers: int = whole(0, 0, 256, "worker processes at once; 0: one for each core")
    idle_s: float = number(
        default_of(PoolSettings, "idle_s"), 0.0, float(_DAY), "a worker without work leaves after this"
    )
    isolation: Isolation = choice(
        default_of(PoolSettings, "isolation"), 'jobs that may share a process: "shared", "module", "publisher", "job"'
    )
    max_jobs: int = whole(default_of(Quotas, "inbox_jobs"), 1, 1_000_000, "jobs that wait or run")
    max_bytes: int = whole(
        default_of(Quotas, "inbox_bytes") // MIB, 1, 64 * KIB, "their bodies together", key="max_mib", unit=MIB
    )
    input_bytes: int = whole(
        default_of(InputLimits, "input_bytes") // KIB,
        1,
        256 * KIB,
        "largest input of a job",
        key="input_kib",
        unit=KIB,
    )


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """``[budget]``: what all jobs together may take; 0: no bound."""

    run_ms_per_minute: int = whole(0, 0, 256 * 60_000, "time inside guests, all workers together; 60000 is one core")
    memory_bytes: int = whole(
        0, 0, 1024 * KIB, "sum of the memory limits of what runs at once", key="memory_mib", unit=MIB
    )


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """``[journal]``: what is kept on disk."""

    sync: Sync = choice(Sync.FULL, '"off": faster, but a power cut may take the last jobs')
    outbox_bytes: int = whole(
        default_of(Quotas, "outbox_bytes") // MIB,
        1,
        64 * KIB,
        "results that wait for the broker",
        key="outbox_mib",
        unit=MIB,
    )
    retention_s: int = whole(
        int(default_of(Quotas, "retention_s")) // _HOUR,
        1,
        366 * 24,
        "how long a finished job is remembered, to answer duplicates",
        key="retention_h",
        unit=_HOUR,
    )
    max_jobs: int = whole(default_of(Quotas, "jobs"), 100, 10_000_000, "jobs remembered, finished ones too")


@dataclass(frozen=True, slots=True)
class LocalModule:
    """``[modules.<name>]``: a module that lies on the device."""

    name: str
    path: Path = file("its bytecode, or JavaScript (.js)", needed=True, example="/usr/share/waspi/append.wasm")
    version: str = text("told in results", default="0", example="1.0.0")
    abi: Path | None = file("how it wants to be called, if not the usual way", example="append.toml")
    limits: Limits = table(_limits(Limits()), "less than [limits] grants", example=True)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the agent is told."""

    id: str = ident("a-z, 0-9 and -; by default the host's name", key="device.id", example="pi-7", factory=default_id)
    fleet: str = ident("topics lie below waspi/v1/<fleet>", key="device.fleet", default="default")
    groups: tuple[str, ...] = texts(
        'groups whose jobs this device takes, for example ["kitchen"]', key="device.groups", of=an_id, said="ids"
    )
    state_dir: Path = file(
        "journal and modules; by default systemd's StateDirectory",
        key="device.state_dir",
        folder=True,
        example="/var/lib/waspi",
        factory=default_state_dir,
    )
    log_level: LogLevel = choice(LogLevel.INFO, '"debug", "info", "warning", "error"', key="device.log_level")
    trace: bool = flag(
        False, "begin each log with pointers, sizes and addresses; for authors of guests", key="device.trace"
    )
    labels: Mapping[str, str] = table(
        None, "free texts, reported as they are", key="device.labels", form=Form.TEXTS, example={"site": "Bern"}
    )
    broker: BrokerConfig = table(BrokerConfig)
    policy: PolicyConfig = table(PolicyConfig)
    limits: Limits = table(_limits(DEFAULT_LIMITS), "of one run; a job may ask for less, never for more")
    bounds: ModuleBounds = table(
        BOUNDS, "what a module may declare, or it is refused before it is compiled; what is hostile costs as much"
    )
    queue: QueueConfig = table(QueueConfig)
    budget: BudgetConfig = table(BudgetConfig, "of all jobs together; a spent budget delays jobs, 0 is no bound")
    journal: JournalConfig = table(JournalConfig)
    cache_bytes: int = whole(256, 1, 1024 * KIB, "modules and their artifacts", key="cache.max_mib", unit=MIB)
    status: StatusReports = choice(
        StatusReports.SLOW, 'state changes that are told: "all", "slow", "none"', key="status.report"
    )
    slow_after_ms: int = whole(500, 0, 3_600_000, 'what "slow" means', key="status.slow_after_ms")
    updates: UpdatesConfig | None = table(
        UPDATES, "with this table, the device takes modules that its groups' deployments name", form=Form.OPTIONAL
    )
    modules: tuple[LocalModule, ...] = table(
        LocalModule,
        "a module that lies on this device; topic .../run/append runs it",
        form=Form.NAMED,
        example="append",
    )


CONFIG = Section(Config)
