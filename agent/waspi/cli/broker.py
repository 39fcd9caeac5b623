"""``waspi broker``: setting a broker up."""

import os
import pwd
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.errors import UsageError
from waspi.fleet.broker_folder import PROGRAM, SERVICE, BrokerFolder, MemberKind, issue_server
from waspi.fleet.broker_plan import BrokerPlan
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
        "waspi broker config --dir ./broker --devices pi-3 --group kitchen   (again: adds pi-3, keeps all others)",
        "waspi push --broker mqtts://broker.lan:8884 --ca ca.crt --cert ops.crt --key ops.key --device pi-1 ...",
    )
)
def config(
    *,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Folder to write to; made if missing.")],
    devices: Annotated[
        list[str] | None, typer.Option("--devices", metavar="ID,...", help="Devices that get a certificate.")
    ] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="ID,...", help="Groups of the devices that are named.")
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

    A broker that runs by the folder on this machine reads it again at once. A device reads the jobs of its groups
    alone: name them with --group. waspi device adds, renews and removes single devices.

    Call it again to add devices: certificates that are there are kept, and options that are not stated again are as
    they were; a certificate that ends within 30 days is replaced when its member is named. devices-ca.key,
    operators-ca.key and ca.key can make new members of the fleet; move them to a safe place when you are done, and
    bring them back for the next one.
    """
    device_ids = [check_id(name, "device") for name in _split(devices)]
    operator_ids = [check_id(name, "operator") for name in _split(operators)] or ["ops"]
    both = sorted(set(device_ids) & set(operator_ids))
    if both:
        raise UsageError(f"{both[0]} is named as a device and as an operator; choose another id for one of them")
    group_ids = [check_id(name, "group") for name in _split(groups)]
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
    broker = BrokerFolder(plan)
    server = issue_server(folder, plan.hosts, days)
    issued = {name: broker.issue(MemberKind.DEVICE, name, days) for name in device_ids}
    issued |= {name: broker.issue(MemberKind.OPERATOR, name, days) for name in operator_ids}
    if groups is not None:
        for name in device_ids:
            broker.set_groups(name, group_ids)
    broker.write()
    absent = broker.hand_over()
    if absent is not None:
        note(absent)
    reloaded = broker.reload()
    if as_json:
        write_json({"config": str(folder / "mosquitto.conf"), "new": sorted(n for n, i in issued.items() if i.new)})
        return ExitCode.OK
    for name, files in issued.items():
        write_line(f"{name}: {files.certificate} {files.key}{'' if files.new else ' (kept)'}")
    note(f"server certificate {'made' if server.new else 'kept'}; clients trust it by {folder / 'ca.crt'}")
    member, url = folder / "operators" / operator_ids[0], f"mqtts://{plan.hosts[0]}:{plan.operator_port}"
    if reloaded:
        note("the broker has read it again")
    else:
        note(f"start it: {PROGRAM} -c {folder / 'mosquitto.conf'}")
        drop_in = "/etc/systemd/system/mosquitto.service.d/waspi.conf"
        note(f"or as a service: sudo install -D -m 644 {folder / SERVICE} {drop_in}")
        note("                 sudo systemctl daemon-reload && sudo systemctl restart mosquitto")
        note(how_to_reload(folder))
    note(f"check it: waspi doctor --broker {url} --ca {folder / 'ca.crt'} --cert {member}.crt --key {member}.key")
    return ExitCode.OK


@app.command("revoke-operator", epilog=examples("waspi broker revoke-operator alice --dir ./broker"))
def revoke_operator(
    operator: Annotated[str, typer.Argument(metavar="ID", help="The operator who leaves, or whose key was stolen.")],
    *,
    folder: Annotated[
        Path,
        typer.Option("--dir", metavar="DIR", envvar="WASPI_BROKER_DIR", help="Folder that waspi broker config wrote."),
    ],
) -> int:
    """Revoke an operator's certificate: the broker refuses it, and a connection that is open may do nothing more.

    The keys that sign jobs are others: take those out of the devices' configurations as well.
    """
    broker = BrokerFolder(BrokerPlan(folder.absolute(), "", ()).remembered())
    check_id(operator, "operator")
    if broker.member(MemberKind.OPERATOR, operator) is None:
        known = ", ".join(each.id for each in broker.members(MemberKind.OPERATOR)) or "none"
        raise UsageError(f"no operator {operator} in {folder}; known: {known}")
    broker.revoke(MemberKind.OPERATOR, operator)
    broker.write()
    absent = broker.hand_over()
    if absent is not None:
        note(absent)
    write_line(f"{operator}: certificate revoked" + (", the broker told" if broker.reload() else ""))
    note(
        f"take the operator's signing keys out of the devices' configurations ([[policy.keys]]), if {operator} has some"
    )
    return ExitCode.OK


def how_to_reload(folder: Path) -> str:
    """What to do about a broker that does not run here: until then a new device is refused, or deaf to its groups."""
    return (
        f"if it runs elsewhere, or as a service: copy {folder} there, and reload it "
        "(sudo systemctl reload mosquitto, or kill -HUP its process)"
    )


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
