"""The folder that ``waspi broker config`` writes: a broker's configuration, its authorities, and who is in."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waspi.errors import OperatorError, UsageError
from waspi.fleet.authority import Authority, Issued, expiry_of
from waspi.fleet.mosquitto_config import access_list, configuration, operator_name
from waspi.fleet.operator_file import PRIVATE, PUBLIC, make_folder, write_file
from waspi.mqtt.settings import Tls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from waspi.fleet.broker_plan import BrokerPlan


PROGRAM: Final = "/usr/sbin/mosquitto"
"""Where Debian has it; not in the path of users."""
SERVICE: Final = "service.conf"
"""A drop-in for Debian's ``mosquitto.service``."""


class MemberKind(StrEnum):
    """Kinds of members; each has a folder, an authority and names of its own."""

    DEVICE = "devices"
    OPERATOR = "operators"


@dataclass(frozen=True, slots=True)
class Member:
    """A device or an operator that has a certificate."""

    kind: MemberKind
    id: str
    groups: tuple[str, ...]
    certificate: Path
    expires: datetime

    @property
    def key(self) -> Path:
        """Its private key; a careful operator moves it away once the member has it."""
        return self.certificate.with_suffix(".key")


class BrokerFolder:
    """One broker's folder. Every method raises :class:`OperatorError` when a file cannot be written."""

    def __init__(self, plan: BrokerPlan) -> None:
        self.plan = plan
        self.path = plan.folder

    def members(self, kind: MemberKind) -> list[Member]:
        """Everybody of ``kind`` who has a certificate, by id. Raises :class:`KeyFileError` for one that is damaged."""
        return [self._member(kind, path.stem) for path in sorted((self.path / kind).glob("*.crt"))]

    def member(self, kind: MemberKind, name: str) -> Member | None:
        """The member called ``name``, if there is one."""
        return self._member(kind, name) if self._certificate(kind, name).exists() else None

    def issue(self, kind: MemberKind, name: str, days: int) -> Issued:
        """Issue the certificate of a member, who keeps one that is good.

        Raises :class:`UsageError` when there is a member of another kind called so: people would take one for the
        other. (The access list cannot: certificates bear the kind, see :func:`operator_name`.)
        """
        for other in MemberKind:
            if other is not kind and self._certificate(other, name).exists():
                raise UsageError(f"{name} is among the {other} already; choose another id")
        certificate = self._certificate(kind, name)
        before = certificate.read_bytes() if certificate.exists() else None
        key = certificate.with_suffix(".key")
        issued = self._authority(kind).issue_client(certificate, key, _common_name(kind, name), days)
        if issued.new and before is not None:
            self._keep(kind, name, before)
        return issued

    def renew(self, kind: MemberKind, name: str, days: int, *, revoke: bool) -> Issued:
        """Issue a new key and certificate; old ones stay good until they end, unless they are to be revoked."""
        certificate = self._certificate(kind, name)
        authority = self._authority(kind)
        fresh = certificate.parent / ".new" / certificate.name
        made = authority.issue_client(fresh, fresh.with_suffix(".key"), _common_name(kind, name), days)
        if revoke:
            authority.revoke(self._all_certificates(kind, name))
        else:
            self._keep(kind, name, certificate.read_bytes())
        key = certificate.with_suffix(".key")
        made.key.replace(key)
        made.certificate.replace(certificate)
        fresh.parent.rmdir()
        return Issued(certificate, key, new=True)

    def revoke(self, kind: MemberKind, name: str) -> None:
        """Take a member's certificate back and forget the member; :meth:`write` takes it out of the access list."""
        certificates = self._all_certificates(kind, name)
        self._authority(kind).revoke(certificates)
        for file in (*certificates, self._certificate(kind, name).with_suffix(".key")):
            file.unlink(missing_ok=True)
        if kind is MemberKind.DEVICE:
            self.archive(name).unlink(missing_ok=True)
            self.set_groups(name, ())

    def stand_in(self, device: str, folder: Path) -> Tls:
        """Issue, into ``folder``, a certificate by which the operator speaks for ``device`` for a day."""
        made = self._authority(MemberKind.DEVICE).issue_client(folder / "x.crt", folder / "x.key", device, days=1)
        return Tls(self.path / "ca.crt", made.certificate, made.key)

    def set_groups(self, device: str, groups: Iterable[str]) -> None:
        """Note the groups whose jobs ``device`` may read."""
        others = {name: each for name, each in self.plan.groups.items() if name != device}
        stated = sorted(set(groups))
        self.plan = replace(self.plan, groups={**others, device: stated} if stated else others)

    def archive(self, device: str) -> Path:
        """What goes to a device, in one file."""
        return self.path / MemberKind.DEVICE / f"{device}.tar.gz"

    def write(self) -> None:
        """Write configuration, access list and plan as they are to be now."""
        make_folder(self.path / "data", 0o700)
        for kind in MemberKind:
            authority = self._authority(kind)
            if not authority.revoked_path.exists() and authority.key_path.exists():
                authority.revoke([])
        write_file(self.path / "mosquitto.conf", configuration(self.plan), PUBLIC)
        start = f"[Service]\nExecStart=\nExecStart={PROGRAM} -c {self.path / 'mosquitto.conf'}\n"
        write_file(self.path / SERVICE, start, PUBLIC)
        devices = {each.id: each.groups for each in self.members(MemberKind.DEVICE)}
        operators = [each.id for each in self.members(MemberKind.OPERATOR)]
        write_file(self.path / "acl", access_list(self.plan.fleet, devices, operators), PRIVATE)
        self.plan.save()

    def hand_over(self) -> str | None:
        """Let the user that mosquitto becomes read its key and write its store; only root can and has to.

        Returns a word about a user who is not here.
        """
        if os.geteuid() != 0 or self.plan.run_as == "root":
            return None
        for path in (self.path / "data", self.path / "server.key", self.path / "acl"):
            try:
                shutil.chown(path, self.plan.run_as)
            except LookupError:
                return f"there is no user {self.plan.run_as} here; {path} must become readable by who mosquitto runs as"
            except OSError as error:
                raise OperatorError(f"cannot hand over {path}: {error.strerror}") from error
        return None

    def reload(self) -> bool:
        """Have the broker that runs by this folder read its files again; whether there is one here (``bool``)."""
        pid = self._broker_pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGHUP)
            return True
        return False

    def _broker_pid(self) -> int | None:
        """The process of a mosquitto that was started with this folder's configuration, if it runs on this machine."""
        try:
            pid = int((self.path / "data" / "mosquitto.pid").read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if Path(os.fsdecode(command[0])).name == "mosquitto" else None

    def _member(self, kind: MemberKind, name: str) -> Member:
        certificate = self._certificate(kind, name)
        groups = tuple(self.plan.groups.get(name, ())) if kind is MemberKind.DEVICE else ()
        return Member(kind, name, groups, certificate, expiry_of(certificate))

    def _certificate(self, kind: MemberKind, name: str) -> Path:
        return self.path / kind / f"{name}.crt"

    def _keep(self, kind: MemberKind, name: str, certificate: bytes) -> None:
        """Keep a certificate that was replaced and is still good: who is removed loses that one, too."""
        old = self.path / kind / ".old" / name
        write_file(old / f"{len(list(old.glob('*.crt')))}.crt", certificate, PUBLIC)

    def _all_certificates(self, kind: MemberKind, name: str) -> list[Path]:
        return [self._certificate(kind, name), *(self.path / kind / ".old" / name).glob("*.crt")]

    def _authority(self, kind: MemberKind) -> Authority:
        return Authority(self.path, f"{kind}-ca")


def _common_name(kind: MemberKind, name: str) -> str:
    return operator_name(name) if kind is MemberKind.OPERATOR else name


def issue_server(folder: Path, hosts: Sequence[str], days: int) -> Issued:
    """Issue the broker's own certificate. Raises as :meth:`Authority.issue_server`."""
    return Authority(folder, "ca").issue_server(folder / "server.crt", folder / "server.key", list(hosts), days)
