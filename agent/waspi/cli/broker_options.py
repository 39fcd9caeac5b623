"""Options that say which broker and fleet a command speaks to; the same for every command that speaks to one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.profile import Profile
from waspi.errors import UsageError
from waspi.fleet.client import Client
from waspi.fleet.key_file import KeyFile
from waspi.fleet.user_folder import keys_folder, user_folder
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls

_PANEL = "Broker"

BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        envvar="WASPI_BROKER",
        rich_help_panel=_PANEL,
        help="mqtt://user:password@host:port, or mqtts:// for TLS.",
    ),
]
FleetOption = Annotated[
    str | None,
    typer.Option(
        "--fleet", metavar="ID", envvar="WASPI_FLEET", rich_help_panel=_PANEL, help="Fleet, by default default."
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        envvar="WASPI_PROFILE",
        rich_help_panel=_PANEL,
        help="A broker by its name in ~/.config/waspi/profiles.toml.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", rich_help_panel=_PANEL, help="Certificate of the authority to trust (PEM)."),
]
CertOption = Annotated[
    Path | None, typer.Option("--cert", metavar="FILE", rich_help_panel=_PANEL, help="Own certificate for mTLS (PEM).")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", rich_help_panel=_PANEL, help="Its private key (PEM).")
]


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """The broker that the options, the environment and the profile add up to."""

    address: BrokerAddress
    fleet: str
    tls: Tls | None
    username: str | None
    password: str | None
    sign: str | None

    @classmethod
    def of(
        cls,
        broker: str | None,
        fleet: str | None,
        profile: str | None,
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
    ) -> "BrokerChoice":
        """Put the choice together: options before environment before profile.

        Raises :class:`UsageError` when no broker is named, :class:`ConfigError` for a wrong URL or profile.
        """
        chosen = Profile.load(user_folder() / "profiles.toml", profile)
        url = broker or chosen.broker
        if url is None:
            raise UsageError("no broker: give --broker mqtt://host, set WASPI_BROKER, or write a profile")
        if (cert is None) != (key is None):
            raise UsageError("--cert and --key go together")
        stated = Tls(ca, cert, key)
        own = broker is None or broker == chosen.broker
        return cls(
            address=BrokerAddress.parse(url),
            fleet=fleet or chosen.fleet or "default",
            tls=stated if stated != Tls() else chosen.tls,
            # A profile's password is for the profile's broker only.
            username=chosen.username if own else None,
            password=chosen.password if own else None,
            sign=chosen.sign,
        )

    @classmethod
    def stated(
        cls,
        broker: str | None,
        fleet: str | None,
        profile: str | None,
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
    ) -> "BrokerChoice | None":
        """As :meth:`of`, but ``None`` when neither options nor environment nor a profile name a broker."""
        if broker is None and Profile.load(user_folder() / "profiles.toml", profile).broker is None:
            return None
        return cls.of(broker, fleet, profile, ca, cert, key)

    def client(self, *, sign: str | None = None) -> Client:
        """Make a client, not connected; ``sign`` names the key that signs its jobs."""
        name = sign or self.sign
        return Client(
            self.address,
            fleet=self.fleet,
            tls=self.tls,
            username=self.username,
            password=self.password,
            signing_key=KeyFile.find(keys_folder(), name) if name else None,
        )
