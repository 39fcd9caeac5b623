"""The configuration: what it allows that it should not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from waspi.cli.doctor.finding import Area, Finding, Level, look
from waspi.device.catalog import files_of
from waspi.device.settings import CONFIG, MIB, Config, Sync
from waspi.errors import KeyFileError
from waspi.fleet.authority import SOON, expiry_of
from waspi.protocol.policy import InlinePolicy, JobsPolicy

_MEMORY_SHARE = 0.75
"""Part of the machine's memory that guests together may be allowed."""


def look_at_config(config: Config, file: Path) -> Iterator[Finding]:
    """Look for dangers in a configuration that is otherwise good."""
    yield Finding(Area.CONFIG, "configuration", Level.OK, f"{file}: device {config.id} of fleet {config.fleet}")
    yield from look(Area.CONFIG, "policy", lambda: policy(config))
    yield from look(Area.CONFIG, "secrets", lambda: secrets_on_disk(config, file))
    yield from look(Area.CONFIG, "certificate", lambda: certificates(config))
    yield from look(Area.CONFIG, "modules", lambda: modules(config))
    yield from look(Area.CONFIG, "limits.memory_mib", lambda: resources(config))


def policy(config: Config) -> Iterator[Finding]:
    """Look at who may run what."""
    rules = config.policy
    if rules.jobs is JobsPolicy.ANY and rules.inline_modules is InlinePolicy.ALLOW:
        yield Finding(
            Area.CONFIG,
            "policy",
            Level.WARN,
            "whoever may publish to this device's topics may run any code in its sandbox",
            'set policy.jobs = "signed" with a key of waspi keys new, or policy.inline_modules = "deny"',
        )
    else:
        yield Finding(Area.CONFIG, "policy", Level.OK, f"jobs: {rules.jobs}, inline modules: {rules.inline_modules}")
    if not rules.require:
        yield Finding(
            Area.CONFIG,
            "policy.require",
            Level.WARN,
            "empty: guests run even where the kernel offers no sandbox",
            'set policy.require = ["seccomp", "no_new_privs", "rlimits"]',
        )


def secrets_on_disk(config: Config, file: Path) -> Iterator[Finding]:
    """Look at who may read passwords and keys."""
    broker = config.broker
    secret = [path for path in (broker.tls.key, broker.password_file) if path is not None and path.exists()]
    inline = {
        "broker.password": broker.password is not None and broker.password_file is None,
        "broker.url": broker.address.password is not None,
    }
    for key in (key for key, is_there in inline.items() if is_there):
        todo = "put it into a file of its own, mode 600, and name that: broker.password_file"
        yield Finding(Area.CONFIG, "secrets", Level.WARN, f"{key} holds a password, in the configuration itself", todo)
    if any(inline.values()):
        secret.append(file)
    for path in secret:
        if path.stat().st_mode & stat.S_IROTH:
            yield Finding(Area.CONFIG, "secrets", Level.FAIL, f"everybody may read {path}", f"run: chmod o= {path}")
    for path in (file, *(each for _, each in CONFIG.files(config) if each.exists())):
        if path.stat().st_mode & stat.S_IWOTH:
            yield Finding(Area.CONFIG, "files", Level.FAIL, f"everybody may write {path}", f"run: chmod o-w {path}")


def certificates(config: Config) -> Iterator[Finding]:
    """Look at when the device's own certificate and its authority's end."""
    for path in (config.broker.tls.certificate, config.broker.tls.ca):
        if path is None:
            continue
        try:
            end = expiry_of(path)
        except KeyFileError as error:
            yield Finding(Area.CONFIG, "certificate", Level.FAIL, error.message, "make one: waspi device add")
            continue
        left = end - datetime.now(UTC)
        level = Level.FAIL if left < timedelta() else Level.WARN if left < SOON else Level.OK
        todo = "" if level is Level.OK else f"make a new one where the broker is set up: waspi device renew {config.id}"
        yield Finding(Area.CONFIG, "certificate", level, f"{path} ends on {end:%Y-%m-%d}", todo)


def modules(config: Config) -> Iterator[Finding]:
    """Look at the modules that it names: the agent does not start without them."""
    if config.modules:
        for module in config.modules:
            files_of(module)
        yield Finding(Area.CONFIG, "modules", Level.OK, ", ".join(module.name for module in config.modules))


def resources(config: Config) -> Iterator[Finding]:
    """Look at whether the machine has what the limits grant."""
    if config.journal.sync is Sync.OFF:
        yield Finding(
            Area.CONFIG,
            "journal.sync",
            Level.WARN,
            "off: a power cut may lose the last jobs, and run jobs twice",
            'set journal.sync = "full" unless that is meant',
        )
    workers = config.queue.workers or os.cpu_count() or 1
    granted = workers * (config.limits.memory_bytes or 0)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if granted > physical * _MEMORY_SHARE:
        yield Finding(
            Area.CONFIG,
            "limits.memory_mib",
            Level.WARN,
            f"{workers} workers may use {granted // MIB} of {physical // MIB} MiB",
            "lower limits.memory_mib or queue.workers",
        )
