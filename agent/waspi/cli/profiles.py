"""``waspi profile``: brokers by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.cli.profile import PROFILES, Profiles
from waspi.device.table import Table
from waspi.errors import ConfigError, UsageError
from waspi.fleet.operator_file import PRIVATE, make_folder, write_file
from waspi.fleet.user_folder import user_folder
from waspi.mqtt.address import BrokerAddress
from waspi.protocol.ids import check_id
from waspi.toml_file import read_toml

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Give brokers names, so that no command has to say where they are.",
)


@app.command(
    epilog=examples(
        "waspi profile add home --broker mqtt://127.0.0.1",
        "waspi profile add farm --broker mqtts://broker.lan:8884 --ca broker/ca.crt --cert broker/operators/ops.crt "
        "--key broker/operators/ops.key --sign ops --default",
    )
)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile: a-z, 0-9 and -.")],
    *,
    broker: Annotated[str, typer.Option("--broker", metavar="URL", help="mqtt://host:port, or mqtts:// for TLS.")],
    fleet: Annotated[str | None, typer.Option("--fleet", metavar="ID", help="Fleet, by default default.")] = None,
    username: Annotated[str | None, typer.Option("--username", metavar="NAME", help="User at the broker.")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="FILE", help="File that holds its password.")
    ] = None,
    ca: Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Authority of the broker (PEM).")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", metavar="FILE", help="Own certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its private key (PEM).")] = None,
    sign: Annotated[str | None, typer.Option("--sign", metavar="KEY", help="Key that signs every push.")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Take it where a command names none; the first one is it anyway.")
    ] = False,
) -> int:
    """Add a profile. Files are noted with their whole path; a password stays in its file."""
    check_id(name, "profile")
    if (cert is None) != (key is None):
        raise UsageError("--cert and --key go together")
    if BrokerAddress.parse(broker).password is not None:
        raise UsageError("a password in the URL would lie open; put it into a file: --username and --password-file")
    files = {"password_file": password_file, "ca": ca, "certificate": cert, "key": key}
    for path in files.values():
        if path is not None and not path.exists():
            raise UsageError(f"there is no file {path}")
    path = _file()
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if name in {each.name for each in _profiles(path).profiles}:
        raise UsageError(f"{path} has a profile {name} already; edit it there, or choose another name")
    values = {
        "broker": broker,
        "fleet": fleet,
        "username": username,
        **{key: str(each.absolute()) if each is not None else None for key, each in files.items()},
        "sign": sign,
    }
    # JSON's strings are TOML's, too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value is not None]
    text = f"{before.rstrip()}\n\n[profiles.{name}]\n".lstrip() + "\n".join(lines) + "\n"
    if default or not before:
        tables = next(re.finditer(r"(?m)^\[", text)).start()
        head = re.sub(r"(?m)^default\s*=.*\n*", "", text[:tables])
        text = f'default = "{name}"\n{head.rstrip()}\n'.rstrip() + f"\n\n{text[tables:]}"
    make_folder(path.parent, 0o700)
    write_file(path, text, PRIVATE)
    write_line(f"{path}: profile {name}")
    return ExitCode.OK


@app.command("list", epilog=examples("waspi profile list", "waspi profile list --json"))
def list_profiles(*, as_json: JsonOption = False) -> int:
    """List the profiles; the one that a command takes which names none is marked."""
    path = _file()
    profiles = _profiles(path)
    rows = [
        {"name": each.name, "broker": each.broker, "fleet": each.fleet, "default": each.name == profiles.default}
        for each in profiles.profiles
    ]
    if as_json:
        write_json(rows)
        return ExitCode.OK
    if not rows:
        note(f"no profiles in {path}; add one: waspi profile add NAME --broker mqtt://host")
    for row in rows:
        write_line(
            f"{'*' if row['default'] else ' '} {row['name']:<20} {row['broker'] or ''} {row['fleet'] or ''}".rstrip()
        )
    return ExitCode.OK


def _file() -> Path:
    return user_folder() / "profiles.toml"


def _profiles(path: Path) -> Profiles:
    if not path.exists():
        return Profiles()
    values = read_toml(path, "the profiles")
    try:
        return PROFILES.read(Table(values), path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from error
