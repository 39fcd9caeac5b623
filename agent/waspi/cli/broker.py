"""``waspi broker``: setting a broker up."""

import os
import pwd
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.errors import OperatorError, UsageError
from waspi.fleet.authority import Authority, Issued
from waspi.fleet.broker_plan import BrokerPlan
from waspi.fleet.mosquitto_config import access_list, configuration
from waspi.protocol.ids import check_id

app = typer.Typer(
    rich_markup_mode="rich", add_completion=False, no_args_is_help=True, help="Set up an MQTT broker for a fleet."
)


@app.callback()
def broker() -> None:
    """Set up an MQTT broker for a fleet."""


@app.command(
    epilog=examples(
        "waspi broker config --dir /etc/waspi/broker --devices pi-1,pi-2 --host broker.lan",
        "waspi broker config --dir ./broker --devices pi-3   (again: adds pi-3, keeps all others)",
        "waspi push --broker mqtts://broker.lan:8884 --ca ca.crt --cert ops.crt --key ops.key --device pi-1 ...",
    )
)
def config(
    *,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Folder to write to; made if missing.")],
    devices: Annotated[
        list[str] | None, typer.Option("--devices", metavar="ID,...", help="Devices that get a certificate.")
    ] = None,
    operators: Annotated[
        list[str] | None, typer.Option("--operators", metavar="ID,...", help="Operators; by default ops.")
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="Name or address of the broker, for its certificate; repeat it."),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="ID", envvar="WASPI_FLEET", help="Fleet, by default default.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port for devices, by default 8883.")
    ] = None,
    operator_port: Annotated[
        int | None, typer.Option("--operator-port", min=1, max=65535, help="For operators, by default 8884.")
    ] = None,
    bind: Annotated[str | None, typer.Option("--bind", metavar="ADDRESS", help="Listen only there.")] = None,
    run_as: Annotated[str | None, typer.Option("--run-as", metavar="USER", help="User that mosquitto becomes.")] = None,
    max_packet_kib: Annotated[
        int | None, typer.Option("--max-packet-kib", min=64, max=262_144, help="Largest packet, by default 8192 KiB.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=7300, help="Validity of new certificates.")] = 825,
    as_json: JsonOption = False,
) -> int:
    """Write mosquitto.conf with mutual TLS, an access list, and certificates for the broker, devices and operators.

    Call it again to add devices: certificates that are there are kept, and options that are not stated again are as
    they were; a certificate that ends within 30 days is replaced when its member is named. devices-ca.key,
    operators-ca.key and ca.key can make new members of the fleet; move them to a safe place when you are done, and
    bring them back for the next one.
    """
    device_ids = [check_id(name, "device") for name in _split(devices)]
    operator_ids = [check_id(name, "operator") for name in _split(operators)] or ["ops"]
    both = sorted(set(device_ids) & set(operator_ids))
    if both:
        raise UsageError(f"{both[0]} is a device and an operator; the access list tells them apart by name")
    folder = folder.absolute()
    stated: dict[str, Any] = {
        "hosts": tuple(hosts) if hosts else None,
        "fleet": fleet,
        "device_port": port,
        "operator_port": operator_port,
        "bind": bind,
        "run_as": run_as,
        "max_packet_kib": max_packet_kib,
    }
    plan = BrokerPlan(folder, _default_user(), _own_names()).remembered()
    plan = replace(plan, **{name: value for name, value in stated.items() if value is not None})
    if plan.device_port == plan.operator_port:
        raise UsageError(f"devices and operators need a port each; both are {plan.device_port}")
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        server = Authority(folder, "ca").issue_server(
            folder / "server.crt", folder / "server.key", list(plan.hosts), days
        )
        issued = _issue(folder, "devices", device_ids, days) | _issue(folder, "operators", operator_ids, days)
        (folder / "mosquitto.conf").write_text(configuration(plan), encoding="utf-8")
        members = (_members(folder, "devices"), _members(folder, "operators"))
        (folder / "acl").write_text(access_list(plan.fleet, *members), encoding="utf-8")
        plan.save()
        _hand_over(plan, [folder / "data", folder / "server.key", folder / "acl"])
    except OSError as error:
        raise OperatorError(f"cannot write {error.filename}: {error.strerror}") from error
    if as_json:
        write_json({"config": str(folder / "mosquitto.conf"), "new": sorted(n for n, i in issued.items() if i.new)})
        return ExitCode.OK
    for name, files in issued.items():
        write_line(f"{name}: {files.certificate} {files.key}{'' if files.new else ' (kept)'}")
    note(f"server certificate {'made' if server.new else 'kept'}; clients trust it by {folder / 'ca.crt'}")
    member, url = folder / "operators" / operator_ids[0], f"mqtts://{plan.hosts[0]}:{plan.operator_port}"
    note(f"start it: mosquitto -c {folder / 'mosquitto.conf'}")
    note(f"check it: waspi doctor --broker {url} --ca {folder / 'ca.crt'} --cert {member}.crt --key {member}.key")
    return ExitCode.OK


def _issue(folder: Path, kind: str, names: list[str], days: int) -> dict[str, Issued]:
    authority = Authority(folder, f"{kind}-ca")
    return {
        name: authority.issue_client(folder / kind / f"{name}.crt", folder / kind / f"{name}.key", name, days)
        for name in names
    }


def _members(folder: Path, kind: str) -> list[str]:
    return sorted(path.stem for path in (folder / kind).glob("*.crt"))


def _split(values: list[str] | None) -> list[str]:
    return [name for value in values or [] for name in value.replace(",", " ").split()]


def _own_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys([socket.gethostname(), "localhost", "127.0.0.1"]))


def _default_user() -> str:
    if os.geteuid() == 0:
        return "mosquitto"
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _hand_over(plan: BrokerPlan, paths: list[Path]) -> None:
    """Let the user that mosquitto becomes read its key and write its store; only root can and has to."""
    if os.geteuid() != 0 or plan.run_as == "root":
        return
    for path in paths:
        try:
            shutil.chown(path, plan.run_as)
        except LookupError:
            note(f"there is no user {plan.run_as} here; {path} must become readable by the one that mosquitto runs as")
            return
