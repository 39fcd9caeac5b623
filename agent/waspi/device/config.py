"""Reading the configuration file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from waspi.device.settings import CONFIG, Config
from waspi.device.table import Table
from waspi.errors import ConfigError
from waspi.protocol.policy import JobsPolicy
from waspi.toml_file import read_toml


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ``ConfigError`` that names the file and the key."""
    values = read_toml(path, "the configuration")
    try:
        return read(values, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from error


def read(values: dict[str, object], base: Path) -> Config:
    """Check parsed TOML; relative file names are taken from ``base``. Raises ``ConfigError`` that names the key."""
    config = CONFIG.read(Table(values), base)
    broker = config.broker
    if (broker.tls.key is None) != (broker.tls.certificate is None):
        raise ConfigError("broker.tls.key: certificate and key go together")
    if broker.password_file is not None:
        if broker.password is not None:
            raise ConfigError("broker.password: there is a password_file as well; leave one of them out")
        try:
            password = broker.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"broker.password_file: cannot read {broker.password_file}") from error
        config = replace(config, broker=replace(broker, password=password))
    if config.policy.jobs is JobsPolicy.SIGNED and not config.policy.keys and not config.policy.open_modules:
        raise ConfigError('policy.keys: jobs = "signed" needs at least one [[policy.keys]]; make one: waspi keys new')
    return config
