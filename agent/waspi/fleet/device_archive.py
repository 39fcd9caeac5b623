"""What a new device is given: configuration, certificate and key in one archive, unpacked into ``/etc/waspi``."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from waspi.errors import KeyFileError
from waspi.fleet.operator_file import PRIVATE, PUBLIC, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from waspi.fleet.broker_folder import Member
    from waspi.fleet.broker_plan import BrokerPlan
    from waspi.fleet.key_file import KeyFile

ROOT = "1.root.json"


def configuration_of(member: Member, plan: BrokerPlan, trusted: Sequence[KeyFile], *, updates: bool) -> str:
    """The configuration of a device of this broker, which takes signed jobs alone when there are keys to trust."""
    groups = ", ".join(f'"{group}"' for group in member.groups)
    lines = [
        "# Written by: waspi device. `waspi config example` prints every key that there is.",
        "[device]",
        f'id = "{member.id}"',
        f'fleet = "{plan.fleet}"',
        f"groups = [{groups}]",
        "",
        "[broker]",
        f'url = "mqtts://{plan.hosts[0]}:{plan.device_port}"',
        f"max_packet_kib = {plan.max_packet_kib}",
        "",
        "[broker.tls]",
        'ca = "ca.crt"',
        f'certificate = "{member.id}.crt"',
        f'key = "credentials/{member.id}.key"',
        "",
        "[policy]",
        f'jobs = "{"signed" if trusted else "any"}"',
        'require = ["seccomp", "no_new_privs", "rlimits"]',
        *(f"\n{key.toml().rstrip()}" for key in trusted),
    ]
    if updates:
        lines += ["", "[updates]", f'root = "{ROOT}"']
    return "\n".join(lines) + "\n"


def write_archive(path: Path, member: Member, configuration: str, broker: Path, root: Path | None) -> None:
    """Write the archive, which only its owner may read: it holds the device's private key.

    ``broker`` is the broker's folder, ``root`` the first root metadata of the update repository. Raises
    :class:`KeyFileError` for a file that cannot be read, :class:`OperatorError` when the archive cannot be written.
    """
    files = [
        ("waspi.toml", configuration.encode(), PUBLIC),
        ("ca.crt", _content(broker / "ca.crt"), PUBLIC),
        (f"{member.id}.crt", _content(member.certificate), PUBLIC),
        (f"credentials/{member.id}.key", _content(member.key), PRIVATE),
    ]
    if root is not None:
        files.append((ROOT, _content(root), PUBLIC))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        folder = tarfile.TarInfo("credentials")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(folder)
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    write_file(path, packed.getvalue(), PRIVATE)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}; the archive needs it") from error
