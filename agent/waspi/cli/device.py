"""``waspi device``: boards come and go."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.broker import how_to_reload
from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.errors import BrokerError, UsageError
from waspi.fleet.authority import SOON
from waspi.fleet.broker_folder import BrokerFolder, Member, MemberKind
from waspi.fleet.broker_plan import FILE, BrokerPlan
from waspi.fleet.device_archive import configuration_of, write_archive
from waspi.fleet.farewell import say_farewell
from waspi.fleet.key_file import KeyFile
from waspi.fleet.user_folder import keys_folder
from waspi.mqtt.address import BrokerAddress
from waspi.protocol.ids import check_id

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Add boards to a fleet, renew their certificates, remove them.",
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The device's id: a-z, 0-9 and -.")]
FolderOption = Annotated[
    Path,
    typer.Option(
        "--dir", metavar="DIR", envvar="WASPI_BROKER_DIR", help="The broker's folder, as waspi broker config wrote it."
    ),
]
GroupOption = Annotated[
    list[str] | None, typer.Option("--group", metavar="ID", help="A group of the device; repeat it.")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="KEY", help="A key (waspi keys) whose jobs alone the device shall run; repeat it."),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--updates-root", metavar="FILE", help="1.root.json of the update repository (waspi repo init)."),
]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=7300, help="Validity of the certificate.")]


@app.command(
    epilog=examples(
        "waspi device add pi-7 --dir ./broker --group kitchen",
        "waspi device add pi-8 --dir ./broker --trust ops --updates-root fleet-repo/metadata/1.root.json",
    )
)
def add(
    device: IdArgument,
    *,
    folder: FolderOption,
    groups: GroupOption = None,
    trust: TrustOption = None,
    root: RootOption = None,
    days: DaysOption = 825,
    as_json: JsonOption = False,
) -> int:
    """Add a board: certificate, access list, the broker told, and one archive with all that goes to the board."""
    broker = _open(folder)
    check_id(device, "device")
    if broker.member(MemberKind.DEVICE, device) is not None:
        raise UsageError(f"{device} is in this fleet already; waspi device renew {device} gives it a new certificate")
    keys = _keys(trust)
    broker.issue(MemberKind.DEVICE, device, days)
    broker.set_groups(device, _groups(groups))
    return _hand_out(broker, device, keys, root, as_json=as_json)


@app.command(
    epilog=examples(
        "waspi device renew pi-7 --dir ./broker",
        "waspi device renew pi-7 --dir ./broker --revoke   (the old one is in wrong hands)",
    )
)
def renew(
    device: IdArgument,
    *,
    folder: FolderOption,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Refuse the old certificate at once, rather than when it ends.")
    ] = False,
    groups: GroupOption = None,
    trust: TrustOption = None,
    root: RootOption = None,
    days: DaysOption = 825,
    as_json: JsonOption = False,
) -> int:
    """Give a board a new key and certificate, in a new archive; with --group it is in these groups from now on."""
    broker = _open(folder)
    _known(broker, device)
    keys = _keys(trust)
    broker.renew(MemberKind.DEVICE, device, days, revoke=revoke)
    if groups is not None:
        broker.set_groups(device, _groups(groups))
    return _hand_out(broker, device, keys, root, as_json=as_json)


@app.command(epilog=examples("waspi device remove pi-7 --dir ./broker"))
def remove(device: IdArgument, *, folder: FolderOption, as_json: JsonOption = False) -> int:
    """Remove a board: its certificate is revoked, its session ended, its retained messages cleared.

    Dashboards and rollouts see it leave, since what it reported is gone. It comes back by waspi device add alone. Exit
    code 3 when the broker could not be told; call it again when the broker can be reached.
    """
    broker = _open(folder)
    if broker.member(MemberKind.DEVICE, device) is not None:
        broker.revoke(MemberKind.DEVICE, device)
    elif device not in broker.plan.leaving:
        _known(broker, device)
    broker.plan = replace(broker.plan, leaving=sorted({*broker.plan.leaving, device}))
    _save(broker)
    plan = broker.plan
    address = BrokerAddress(plan.hosts[0], plan.device_port, tls=True)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            say_farewell(address, broker.stand_in(device, Path(temporary)), plan.fleet, device)
    except BrokerError as error:
        note(how_to_reload(broker.path))
        raise type(error)(
            f"{device} is out of the lists, but its session lives on: {error.message}; "
            f"when the broker can be reached: waspi device remove {device} --dir {folder}"
        ) from error
    broker.plan = replace(plan, leaving=[each for each in plan.leaving if each != device])
    broker.plan.save()
    if as_json:
        write_json({"removed": device})
    else:
        write_line(f"{device}: certificate revoked, session ended, retained messages cleared")
    return ExitCode.OK


@app.command("list", epilog=examples("waspi device list --dir ./broker", "waspi device list --dir ./broker --json"))
def list_devices(*, folder: FolderOption, as_json: JsonOption = False) -> int:
    """List the boards that have a certificate: groups, and when it ends."""
    broker = _open(folder)
    rows = [_row(each) for each in broker.members(MemberKind.DEVICE)]
    if as_json:
        write_json(rows)
        return ExitCode.OK
    if not rows:
        note(f"no devices yet; add one: waspi device add ID --dir {folder}")
    for row in rows:
        state = {"good": "", "soon": "  ends soon: waspi device renew", "ended": "  has ended: waspi device renew"}
        groups = ", ".join(map(str, row["groups"])) if isinstance(row["groups"], list) else ""
        write_line(f"{row['id']:<24} until {str(row['expires'])[:10]}  {groups:<24}{state[str(row['state'])]}".rstrip())
    return ExitCode.OK


def _row(member: Member) -> dict[str, object]:
    left = member.expires - datetime.now(UTC)
    return {
        "id": member.id,
        "groups": list(member.groups),
        "expires": member.expires.isoformat(),
        "state": "ended" if left.total_seconds() < 0 else "soon" if left < SOON else "good",
        "key_here": member.key.exists(),
    }


def _hand_out(broker: BrokerFolder, device: str, keys: list[KeyFile], root: Path | None, *, as_json: bool) -> int:
    reloaded = _save(broker)
    member = _known(broker, device)
    archive = broker.archive(device)
    configuration = configuration_of(member, broker.plan, keys, updates=root is not None)
    write_archive(archive, member, configuration, broker.path, root)
    if as_json:
        write_json({**_row(member), "archive": str(archive), "broker_reloaded": reloaded})
        return ExitCode.OK
    write_line(str(archive))
    note(
        f"certificate until {member.expires:%Y-%m-%d}; the archive holds its private key: hand it over, then delete it"
    )
    note("on the board, where waspi is installed:")
    note(f"  sudo tar -xzf {archive.name} -C /etc/waspi --no-same-owner && sudo systemctl restart waspi")
    if not reloaded:
        note(how_to_reload(broker.path))
    return ExitCode.OK


def _save(broker: BrokerFolder) -> bool:
    """Write the folder and tell the broker; whether it was told."""
    broker.write()
    absent = broker.hand_over()
    if absent is not None:
        note(absent)
    return broker.reload()


def _open(folder: Path) -> BrokerFolder:
    folder = folder.absolute()
    if not (folder / FILE).exists():
        raise UsageError(f"{folder} is no broker's folder; make one: waspi broker config --dir {folder}")
    return BrokerFolder(BrokerPlan(folder, "", ()).remembered())


def _known(broker: BrokerFolder, device: str) -> Member:
    member = broker.member(MemberKind.DEVICE, check_id(device, "device"))
    if member is None:
        known = ", ".join(each.id for each in broker.members(MemberKind.DEVICE)) or "none"
        raise UsageError(f"no device {device} in {broker.path}; known: {known}")
    return member


def _groups(groups: list[str] | None) -> list[str]:
    return [check_id(group, "group") for each in groups or [] for group in each.replace(",", " ").split()]


def _keys(names: list[str] | None) -> list[KeyFile]:
    return [KeyFile.find(keys_folder(), name) for name in names or []]
