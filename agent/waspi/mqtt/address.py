"""Where a broker is: ``mqtt://user:password@host:port`` and its TLS form ``mqtts://``.

A cluster has several addresses: ``mqtt://one,two:1884,three``. Scheme, user and password hold for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from waspi.errors import ConfigError

PLAIN_PORT = 1883
TLS_PORT = 8883


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Host, port and whether TLS is spoken there; credentials if the URL held some.

    ``others``: further addresses of the same broker, to be tried in turn when this one does not answer.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None
    others: tuple[BrokerAddress, ...] = ()

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Read a broker URL. Raises ``ConfigError`` that says which part is wrong, without repeating a password."""
        scheme, _, rest = url.partition("://")
        if scheme not in {"mqtt", "mqtts"} or not rest:
            raise ConfigError("broker: expected mqtt://host[:port] or mqtts://host[:port]")
        user, at, hosts = rest.rpartition("@")
        if "@" in user and "," in user:
            raise ConfigError("broker: user and password stand once, before the first host")
        first, *others = (cls._parse_one(scheme, f"{scheme}://{user}{at}{host.strip()}") for host in hosts.split(","))
        return replace(first, others=tuple(others))

    @classmethod
    def _parse_one(cls, scheme: str, url: str) -> BrokerAddress:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError("broker: the port must be a number from 1 to 65535") from error
        if not parts.hostname:
            raise ConfigError("broker: the host name is missing")
        if port == 0:
            raise ConfigError("broker: the port must be a number from 1 to 65535")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ConfigError("broker: nothing may follow the port")
        tls = scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=port or (TLS_PORT if tls else PLAIN_PORT),
            tls=tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    def __str__(self) -> str:
        """The address without credentials, fit for logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"
