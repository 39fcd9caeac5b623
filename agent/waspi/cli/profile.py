"""Profiles: brokers by name, in ``~/.config/waspi/profiles.toml``.

::

    default = "home"

    [profiles.home]
    broker = "mqtts://broker.lan"
    fleet = "default"
    username = "ops"
    password_file = "home.password"   # relative to this file
    ca = "ca.crt"
    certificate = "ops.crt"
    key = "ops.key"
    sign = "ops"                      # key that signs every push
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waspi.device.table import Table
from waspi.errors import ConfigError
from waspi.mqtt.settings import Tls
from waspi.toml_file import read_toml


@dataclass(frozen=True, slots=True)
class Profile:
    """How to reach one fleet; what is ``None`` is not stated."""

    broker: str | None = None
    fleet: str | None = None
    username: str | None = None
    password: str | None = None
    tls: Tls | None = None
    sign: str | None = None

    @classmethod
    def load(cls, path: Path, name: str | None) -> Profile:
        """Read profile ``name``, or the file's default one; an empty profile when there is neither file nor name.

        Raises :class:`ConfigError` that names the file and the key.
        """
        if name is None and not path.exists():
            return cls()
        values = read_toml(path, "the profiles")
        try:
            return cls._choose(Table(values), name, path.parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}") from error

    @classmethod
    def _choose(cls, root: Table, name: str | None, base: Path) -> Profile:
        default = root.text("default")
        tables = root.named_tables("profiles")
        root.end()
        profiles = {each: cls._read(table, base) for each, table in tables.items()}
        chosen = name or default
        if chosen is None:
            return cls()
        if chosen not in profiles:
            raise ConfigError(f"no profile {chosen!r}; known: {', '.join(sorted(profiles)) or 'none'}")
        return profiles[chosen]

    @classmethod
    def _read(cls, table: Table, base: Path) -> Profile:
        password_file = table.path("password_file", base)
        password = None
        if password_file is not None:
            try:
                password = password_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise table.fail("password_file", f"cannot read {password_file}") from error
        tls = Tls(table.path("ca", base), table.path("certificate", base), table.path("key", base))
        profile = cls(
            broker=table.text("broker"),
            fleet=table.text("fleet"),
            username=table.text("username"),
            password=password,
            tls=None if tls == Tls() else tls,
            sign=table.text("sign"),
        )
        table.end()
        return profile
