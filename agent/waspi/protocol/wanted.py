"""Which version of which module a device shall run: every device works it out for itself, from signed deployments.

The rule: the groups of a device stand in the order of its configuration, and the first whose deployment names a module
decides on it. A device within the entry's stage runs ``version``; one outside runs ``base``, or, when there is none,
goes on with what it has. A module that no deployment names is not wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from waspi.errors import EnvelopeError
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.protocol.rollout import in_stage


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
    if in_stage(device, entry.label, entry.stage):
        version, share = entry.version, Share.STAGE
    elif entry.base is not None:
        version, share = entry.base, Share.BASE
    else:
        return _wanted(entry, deployment, current, Share.KEPT)
    return _wanted(entry, deployment, version, share)


def _wanted(entry: DeploymentEntry, deployment: Deployment, version: str | None, share: Share) -> Wanted:
    return Wanted(entry.name, version, deployment.group, deployment.serial, share, entry.version, entry.retry)
