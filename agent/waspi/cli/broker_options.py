"""Options that say which broker and fleet a command speaks to; the same for every command that speaks to one."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from waspi.cli.profile import Profile
from waspi.errors import UsageError
from waspi.fleet.client import Client
from waspi.fleet.key_file import KeyFile
from waspi.fleet.user_folder import keys_folder, user_folder
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls

_PANEL = "Broker"


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """The broker that the options, the environment and the profile add up to."""

    address: BrokerAddress
    fleet: str
    tls: Tls | None
    username: str | None
    password: str | None
    sign: str | None

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


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What was typed; :func:`speaks_to_broker` makes each field an option of the command."""

    broker: Annotated[
        str | None,
        typer.Option(
            "--broker",
            metavar="URL",
            envvar="WASPI_BROKER",
            rich_help_panel=_PANEL,
            help="mqtt://host:port, or mqtts:// for TLS; host,host for a cluster.",
        ),
    ]
    fleet: Annotated[
        str | None,
        typer.Option(
            "--fleet", metavar="ID", envvar="WASPI_FLEET", rich_help_panel=_PANEL, help="Fleet, by default default."
        ),
    ]
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            envvar="WASPI_PROFILE",
            rich_help_panel=_PANEL,
            help="A broker by its name in ~/.config/waspi/profiles.toml.",
        ),
    ]
    username: Annotated[
        str | None,
        typer.Option(
            "--username",
            metavar="NAME",
            envvar="WASPI_USERNAME",
            rich_help_panel=_PANEL,
            help="User name at the broker.",
        ),
    ]
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            envvar="WASPI_PASSWORD_FILE",
            rich_help_panel=_PANEL,
            help="File whose first line is the password: on a command line others could read it.",
        ),
    ]
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca", metavar="FILE", rich_help_panel=_PANEL, help="Certificate of the authority to trust (PEM)."
        ),
    ]
    cert: Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", rich_help_panel=_PANEL, help="Own certificate for mTLS (PEM)."),
    ]
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", rich_help_panel=_PANEL, help="Its private key (PEM).")
    ]

    def choice(self) -> BrokerChoice:
        """Put the choice together: options before environment before profile.

        Raises :class:`UsageError` when no broker is named, :class:`ConfigError` for a wrong URL or profile.
        """
        choice = self.choice_if_stated()
        if choice is None:
            raise UsageError("no broker: give --broker mqtt://host, set WASPI_BROKER, or write a profile")
        return choice

    def choice_if_stated(self) -> BrokerChoice | None:
        """As :meth:`choice`, but ``None`` when neither options nor environment nor a profile name a broker."""
        chosen = self._profile()
        url = self.broker or chosen.broker
        if url is None:
            return None
        if (self.cert is None) != (self.key is None):
            raise UsageError("--cert and --key go together")
        stated = Tls(self.ca, self.cert, self.key)
        own = self.broker is None or self.broker == chosen.broker
        return BrokerChoice(
            address=BrokerAddress.parse(url),
            fleet=self.fleet or chosen.fleet or "default",
            tls=stated if stated != Tls() else chosen.tls,
            # A profile's password is for the profile's broker only.
            username=self.username or (chosen.username if own else None),
            password=self._password() or (chosen.password if own else None),
            sign=chosen.sign,
        )

    def _password(self) -> str | None:
        file = self.password_file
        if file is None:
            return None
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the password file {file}: {error}") from error
        if not lines or not lines[0]:
            raise UsageError(f"the password file {file} has no password on its first line")
        return lines[0]

    def _profile(self) -> Profile:
        try:
            file = user_folder() / "profiles.toml"
        except UsageError:
            if self.profile is not None:
                raise
            return Profile()  # nobody asked for one
        return Profile.load(file, self.profile)


def speaks_to_broker(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of :class:`BrokerOptions`, which it gets as one argument called ``at``."""
    hints = {field.name: field.type for field in fields(BrokerOptions)}

    @functools.wraps(command)
    def called(**given: Any) -> int:  # noqa: ANN401 - whatever the command's own options are
        at = BrokerOptions(**{name: given.pop(name) for name in hints})
        return command(at=at, **given)

    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.name != "at"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]
    called.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    called.__annotations__ = {**command.__annotations__, **hints}
    return called
