"""Reading the configuration file."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from waspi.device.settings import (
    MIB,
    PARTS_OF_LOCKDOWN,
    BrokerConfig,
    BudgetConfig,
    Config,
    JournalConfig,
    LocalModule,
    PolicyConfig,
    QueueConfig,
    StatusReports,
    Sync,
    check_name,
    default_id,
    default_state_dir,
)
from waspi.device.table import Table
from waspi.errors import ConfigError
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls
from waspi.protocol.policy import InlinePolicy, JobsPolicy
from waspi.protocol.response_topic import DEFAULT_PREFIXES
from waspi.protocol.trust import Role, TrustedKey
from waspi.toml_file import read_toml

if TYPE_CHECKING:
    from waspi.updates.settings import UpdatesConfig

_DAY = 24 * 3600


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ``ConfigError`` that names the file and the key."""
    values = read_toml(path, "the configuration")
    try:
        return read(values, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from error


def read(values: dict[str, object], base: Path) -> Config:
    """Check parsed TOML; relative file names are taken from ``base``. Raises ``ConfigError`` that names the key."""
    root = Table(values)
    device = root.table("device")
    groups = device.texts("groups")
    config = Config(
        id=check_name("device.id", device.text("id") or default_id()),
        fleet=check_name("device.fleet", device.text("fleet") or "default"),
        groups=tuple(check_name("device.groups", group) for group in groups),
        labels=device.texts_by_name("labels"),
        state_dir=device.path("state_dir", base) or default_state_dir(),
        log_level=_log_level(device),
        trace=device.flag("trace", default=False),
        broker=_broker(root.table("broker"), base),
        policy=_policy(root.table("policy")),
        limits=_limits(root.table("limits"), DEFAULT_LIMITS),
        queue=_queue(root.table("queue")),
        budget=_budget(root.table("budget")),
        journal=_journal(root.table("journal")),
        cache_bytes=_cache(root.table("cache")),
        status=(status := root.table("status")).choice("report", StatusReports, StatusReports.SLOW),
        slow_after_ms=status.whole("slow_after_ms", 500, 0, 3_600_000),
        modules=tuple(_module(name, table, base) for name, table in root.named_tables("modules").items()),
        updates=_updates(root.table("updates"), base),
    )
    device.end()
    status.end()
    root.end()
    if config.policy.jobs is JobsPolicy.SIGNED and not config.policy.keys:
        raise ConfigError('policy.keys: jobs = "signed" needs at least one [[policy.keys]]; make one: waspi keys new')
    return config


def _log_level(table: Table) -> str:
    level = table.text("log_level") or "info"
    if level not in {"debug", "info", "warning", "error"}:
        raise table.fail("log_level", 'expected "debug", "info", "warning" or "error"')
    return level


def _broker(table: Table, base: Path) -> BrokerConfig:
    tls = table.table("tls")
    address = BrokerAddress.parse(table.needed_text("url"))
    password = table.text("password")
    password_file = table.path("password_file", base)
    if password_file:
        try:
            password = _credential(password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise table.fail("password_file", f"cannot read {password_file}") from error
    key = tls.path("key", base)
    certificate = tls.path("certificate", base)
    if (key is None) != (certificate is None):
        raise tls.fail("key", "certificate and key go together")
    config = BrokerConfig(
        address=address,
        username=table.text("username"),
        password=password,
        tls=Tls(ca=tls.path("ca", base), certificate=certificate, key=_credential(key) if key else None),
        keepalive_s=table.whole("keepalive_s", 60, 5, 3600),
        receive_maximum=table.whole("receive_maximum", 32, 1, 1024),
        window=table.whole("window", 64, 1, 1024),
        max_packet_bytes=table.whole("max_packet_kib", 8 * 1024, 16, 256 * 1024) * 1024,
        will_delay_s=table.whole("will_delay_s", 10, 0, 3600),
        session_expiry_s=table.whole("session_expiry_s", 7 * _DAY, 0, 0xFFFF_FFFE),
    )
    tls.end()
    table.end()
    return config


def _credential(path: Path) -> Path:
    """The copy that systemd's ``LoadCredential=`` made of a file that only root may read, if there is one.

    ``LoadCredential=waspi:/etc/waspi/credentials`` brings the folder's file ``x`` as ``waspi_x`` (systemd.exec(5)).
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    for name in (path.name, f"waspi_{path.name}"):
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name
    return path


def _policy(table: Table) -> PolicyConfig:
    require = table.texts("require")
    for part in require:
        if part not in PARTS_OF_LOCKDOWN:
            raise table.fail("require", f"unknown part {part!r}; known: {', '.join(PARTS_OF_LOCKDOWN)}")
    policy = PolicyConfig(
        jobs=table.choice("jobs", JobsPolicy, JobsPolicy.ANY),
        inline_modules=table.choice("inline_modules", InlinePolicy, InlinePolicy.ALLOW),
        open_modules=table.texts("open_modules"),
        reply_prefixes=table.texts("reply_prefixes", DEFAULT_PREFIXES),
        require=require,
        keys=tuple(_key(each) for each in table.tables("keys")),
    )
    table.end()
    return policy


def _key(table: Table) -> TrustedKey:
    try:
        public = base64.b64decode(table.needed_text("public_key"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise table.fail("public_key", "expected 32 bytes in base64, as `waspi keys show` prints them") from error
    groups = table.texts("groups")
    modules = table.texts("modules")
    try:
        roles = frozenset(Role(role) for role in table.texts("roles", tuple(Role)))
    except ValueError as error:
        raise table.fail("roles", f"expected some of {', '.join(Role)}") from error
    key = TrustedKey(
        kid=check_name(table.name("id"), table.needed_text("id")),
        public_key=public,
        roles=roles,
        groups=frozenset(check_name(table.name("groups"), group) for group in groups) if groups else None,
        modules=frozenset(modules) if modules else None,
    )
    table.end()
    return key


def _limits(table: Table, default: Limits) -> Limits:
    limits = Limits(
        fuel=_optional(table, "fuel", default.fuel, 1, 2**62, unit=1),
        memory_bytes=_optional(table, "memory_mib", default.memory_bytes, 1, 4096, unit=MIB),
        time_ms=_optional(table, "time_ms", default.time_ms, 1, 24 * 3600 * 1000, unit=1),
        output_bytes=_optional(table, "output_kib", default.output_bytes, 1, 256 * 1024, unit=1024),
        log_bytes=_optional(table, "log_kib", default.log_bytes, 0, 64 * 1024, unit=1024),
    )
    table.end()
    return limits


def _optional(table: Table, key: str, default: int | None, low: int, high: int, *, unit: int) -> int | None:
    value = table.whole(key, -1, low, high)
    return default if value == -1 else value * unit


def _queue(table: Table) -> QueueConfig:
    queue = QueueConfig(
        workers=table.whole("workers", 0, 0, 256),
        idle_s=table.number("idle_s", 30.0, 0.0, _DAY),
        max_jobs=table.whole("max_jobs", 20_000, 1, 1_000_000),
        max_bytes=table.whole("max_mib", 64, 1, 64 * 1024) * MIB,
        input_bytes=table.whole("input_kib", 4096, 1, 256 * 1024) * 1024,
    )
    table.end()
    return queue


def _budget(table: Table) -> BudgetConfig:
    budget = BudgetConfig(
        run_ms_per_minute=table.whole("run_ms_per_minute", 0, 0, 256 * 60_000),
        memory_bytes=table.whole("memory_mib", 0, 0, 1024 * 1024) * MIB,
    )
    table.end()
    return budget


def _journal(table: Table) -> JournalConfig:
    journal = JournalConfig(
        sync=table.choice("sync", Sync, Sync.FULL),
        outbox_bytes=table.whole("outbox_mib", 64, 1, 64 * 1024) * MIB,
        retention_s=table.whole("retention_h", 7 * 24, 1, 366 * 24) * 3600,
        max_jobs=table.whole("max_jobs", 100_000, 100, 10_000_000),
    )
    table.end()
    return journal


def _cache(table: Table) -> int:
    size = table.whole("max_mib", 256, 1, 1024 * 1024) * MIB
    table.end()
    return size


def _module(name: str, table: Table, base: Path) -> LocalModule:
    path = table.path("path", base)
    if path is None:
        raise table.fail("path", "missing")
    module = LocalModule(
        name=check_name(table.name(), name),
        path=path,
        version=table.text("version") or "0",
        abi=table.path("abi", base),
        limits=_limits(table.table("limits"), Limits()),
    )
    table.end()
    return module


def _updates(table: Table, base: Path) -> UpdatesConfig | None:
    """``[updates]``; a device without it takes none, and loads nothing for them."""
    if not [*table]:
        return None
    from waspi.updates.lifecycle import TrialTerms  # noqa: PLC0415 - see above
    from waspi.updates.schedule import ScheduleTerms  # noqa: PLC0415
    from waspi.updates.settings import KIB, UpdatesConfig  # noqa: PLC0415

    url = table.text("url") or ""
    if url and not url.startswith(("https://", "http://")):
        raise table.fail("url", "expected https://...; leave it out to update from the depots on MQTT")
    root = table.path("root", base)
    if root is None:
        raise table.fail("root", "missing: the file that `waspi repo init` calls 1.root.json")
    ca = table.path("ca", base)
    config = UpdatesConfig(
        root=root.absolute(),
        url=url,
        ca=ca.absolute() if ca is not None else None,
        range_bytes=table.whole("range_kib", 64, 4, 64) * KIB,
        window=table.whole("window", 8, 1, 64),
        schedule=ScheduleTerms(
            interval_s=table.number("interval_s", 3600.0, 1.0, 30 * _DAY),
            spread_s=table.number("spread_s", 10.0, 0.0, _DAY),
        ),
        trial=TrialTerms(
            jobs=table.whole("trial_jobs", 20, 1, 1_000_000), failures=table.whole("trial_failures", 3, 1, 1_000_000)
        ),
        trial_s=table.number("trial_s", 3600.0, 1.0, 30 * _DAY),
    )
    table.end()
    return config
