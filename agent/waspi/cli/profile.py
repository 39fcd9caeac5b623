"""Profiles: brokers by name, in ``~/.config/waspi/profiles.toml``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from waspi.device.config_key import Form, Section, file, ident, table, text
from waspi.device.table import Table
from waspi.errors import ConfigError
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls
from waspi.toml_file import read_toml


def _address(url: str) -> str:
    BrokerAddress.parse(url)
    return url


@dataclass(frozen=True, slots=True)
class Profile:
    """``[profiles.<name>]``: how to reach one fleet; what is ``None`` is not stated."""

    name: str = ""
    broker: str | None = text(
        "where it is; mqtts:// for TLS", convert=_address, said="mqtt://host:port", example="mqtts://broker.lan:8884"
    )
    fleet: str | None = ident("fleet, by default default", example="default")
    username: str | None = text("where the broker asks for one", example="ops")
    password: str | None = text("a file of its own is safer:", example="secret")
    password_file: Path | None = file("relative to this file", example="home.password")
    ca: Path | None = file("authority of the broker; by default the system's", example="ca.crt")
    certificate: Path | None = file("own certificate, for mTLS", example="ops.crt")
    key: Path | None = file("its private key", example="ops.key")
    sign: str | None = text("key that signs every push (waspi keys)", example="ops")

    @property
    def tls(self) -> Tls | None:
        """The files for TLS, ``None`` where the profile names none."""
        tls = Tls(self.ca, self.certificate, self.key)
        return None if tls == Tls() else tls

    @classmethod
    def load(cls, path: Path, name: str | None) -> Profile:
        """Read profile ``name``, or the file's default one; an empty profile when there is neither file nor name.

        Raises :class:`ConfigError` that names the file and the key.
        """
        if name is None and not path.exists():
            return cls()
        values = read_toml(path, "the profiles")
        try:
            return PROFILES.read(Table(values), path.parent).choose(name)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error.message}") from error


@dataclass(frozen=True, slots=True)
class Profiles:
    """The whole file."""

    default: str | None = text("the profile of a command that names none", example="home")
    profiles: tuple[Profile, ...] = table(Profile, "one fleet and how to reach it", form=Form.NAMED, example="home")

    def choose(self, name: str | None) -> Profile:
        """Give profile ``name``, or the default one, with the password of its file. Raises :class:`ConfigError`."""
        chosen = name or self.default
        if chosen is None:
            return Profile()
        by_name = {each.name: each for each in self.profiles}
        if chosen not in by_name:
            raise ConfigError(f"no profile {chosen!r}; known: {', '.join(sorted(by_name)) or 'none'}")
        profile = by_name[chosen]
        if profile.password_file is None:
            return profile
        try:
            password = profile.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"profiles.{chosen}.password_file: cannot read {profile.password_file}") from error
        return replace(profile, password=password)


PROFILES = Section(Profiles)
