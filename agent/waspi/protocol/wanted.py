"""Which version of which module a device shall run: every device works it out for itself, from signed deployments.

The rule: the groups of a device stand in the order of its configuration, and the first whose deployment names a module
decides on it. A device within the entry's stage runs ``version``; one outside runs ``base``, or, when there is none,
goes on with what it has. A module that no deployment names is not wanted.

Which devices a stage takes in, to the byte: those that it names, and those whose bucket is below ``stage * 100``, where
``stage`` is per cent with at most two decimals. Let ``h`` be the SHA-256 of the device id's UTF-8 bytes followed at
once by the release's (``name@version``) UTF-8 bytes, with no separator and no terminator, read as an unsigned
big-endian integer of 256 bits; the bucket is ``h mod 10000``. A device in a stage is so in every larger one of the same
release; another release draws anew. So every device can tell by itself, and no server keeps a list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.protocol.ids import shown

BUCKETS: Final = 10_000


class Share(StrEnum):
    """By which part of an entry a device runs what it runs."""

    STAGE = "stage"
    """It is within the stage."""
    BASE = "base"
    """It is not, and the entry names a base."""
    KEPT = "kept"
    """It is not, and goes on with what it has."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device shall run of one module."""

    name: str
    version: str | None
    """``None``: nothing so far; its turn has not come."""
    group: str
    """Whose deployment decides."""
    serial: int
    """Of that deployment."""
    share: Share
    offered: str
    """The deployment's own version: an update that is there for this device when it differs from ``version``."""
    retry: int = 0


def wanted_modules(
    deployments: Mapping[str, Deployment], *, device: str, groups: Iterable[str], current: Mapping[str, str]
) -> dict[str, Wanted]:
    """What ``device`` shall run, by module name.

    ``deployments``: the newest of each group; those of groups that are not among ``groups`` do not count. ``current``:
    module name to the version that serves now (ACTIVE, or TRIAL).
    """
    wanted: dict[str, Wanted] = {}
    for group in groups:
        deployment = deployments.get(group)
        if deployment is None:
            continue
        for entry in deployment.entries:
            if entry.name not in wanted:
                wanted[entry.name] = _of_entry(entry, deployment, device, current.get(entry.name))
    return wanted


def check_serial(new: Deployment, *, group: str, seen: int) -> Deployment:
    """Return ``new`` when it may follow a deployment of serial ``seen`` (0: none) of ``group``.

    Raises :class:`EnvelopeError` for an older one, or one of another group: TUF guards the metadata's versions, this
    guards against an operator's repository that was put back from a backup.
    """
    if new.group != group:
        raise EnvelopeError(f"deployment of group {group} says that it is of group {new.group}")
    if new.serial < seen:
        raise EnvelopeError(f"deployment of group {group} has serial {new.serial}, and {seen} was seen before")
    return new


def _of_entry(entry: DeploymentEntry, deployment: Deployment, device: str, current: str | None) -> Wanted:
    if in_stage(device, entry):
        version, share = entry.version, Share.STAGE
    elif entry.base is not None:
        version, share = entry.base, Share.BASE
    else:
        return _wanted(entry, deployment, current, Share.KEPT)
    return _wanted(entry, deployment, version, share)


def _wanted(entry: DeploymentEntry, deployment: Deployment, version: str | None, share: Share) -> Wanted:
    return Wanted(entry.name, version, deployment.group, deployment.serial, share, entry.version, entry.retry)


def bucket(device_id: str, release: str) -> int:
    """The bucket of a device for a release: 0 to 9999."""
    return int.from_bytes(hashlib.sha256(device_id.encode() + release.encode()).digest()) % BUCKETS


def in_stage(device_id: str, entry: DeploymentEntry) -> bool:
    """Whether the entry takes the device in. Raises :class:`EnvelopeError` for a percentage that is none."""
    return device_id in entry.devices or bucket(device_id, entry.label) < hundredths(entry.stage)


def hundredths(percent: float) -> int:
    """``percent`` in hundredths of a per cent, which is how many buckets are in: 0 to 10000.

    Raises :class:`EnvelopeError` for a percentage below 0, above 100 or finer than 0.01.
    """
    whole = round(percent * 100) if 0 <= percent <= 100 else -1  # noqa: PLR2004 - per cent
    # 1.1 * 100 is 110.00000000000001: without the rounding one bucket too many would be in.
    if whole < 0 or abs(percent * 100 - whole) > 1e-6:  # noqa: PLR2004 - far below a hundredth
        raise EnvelopeError(f"stage of {shown(percent)} per cent: 0 to 100 in steps of 0.01 is expected")
    return whole
