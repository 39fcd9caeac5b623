"""How the status of a repository reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.cli.console import write_line
from waspi.fleet.repository.key_ring import Role

if TYPE_CHECKING:
    from waspi.fleet.repository.status import RepositoryStatus, RoleStatus
    from waspi.model.deployment import Deployment, DeploymentEntry

SOON_DAYS = 5
SOON_ROOT_DAYS = 30
"""Its keys are offline, and in several hands."""


def json_of_status(status: RepositoryStatus) -> dict[str, object]:
    """Give the status for scripts."""
    pending = status.pending_root
    return {
        "roles": [
            {
                "role": role.role,
                "version": role.version,
                "expires": role.expires.isoformat(),
                "days_left": role.days_left,
                "keys": list(role.keys),
                "threshold": role.threshold,
                "outdated": role.outdated,
            }
            for role in status.roles
        ],
        "releases": [
            {
                "name": release.name,
                "version": release.version,
                "sha256": release.sha256,
                "bytes": release.length,
                "golden": len(release.golden),
            }
            for _, release in sorted(status.contents.releases.items())
        ],
        "deployments": [
            json_of_deployment(group, deployment) for group, deployment in sorted(status.contents.deployments.items())
        ],
        "unpublished": list(status.unpublished),
        "root_waits_for": pending.missing if pending is not None else 0,
    }


def json_of_deployment(group: str, deployment: Deployment) -> dict[str, object]:
    """Give what a group shall run for scripts."""
    return {
        "group": group,
        "serial": deployment.serial,
        "entries": [
            {
                "name": entry.name,
                "version": entry.version,
                "stage": entry.stage,
                "base": entry.base,
                "devices": list(entry.devices),
            }
            for entry in deployment.entries
        ],
    }


def write_status(status: RepositoryStatus) -> None:
    """Write the status for people."""
    for role in status.roles:
        write_line(f"{role.role:<10} {role.version:>4}  {_expiry(role):<34} {_keys(role)}")
    write_line("")
    for _, release in sorted(status.contents.releases.items()):
        pairs = f"{len(release.golden)} golden pairs" if release.golden else "no golden pairs"
        write_line(f"release    {release.label:<28} {release.length:>9} bytes  {pairs}")
    for group, deployment in sorted(status.contents.deployments.items()):
        for entry in deployment.entries:
            others = f", the others {entry.base}" if entry.base and entry.stage < 100 else ""  # noqa: PLR2004 - all
            write_line(f"deployed   {group} ({deployment.serial}): {entry.label} on {_reach(entry)}{others}")
    for line in status.unpublished:
        write_line(f"draft      {line}")
    if status.pending_root is not None:
        change = status.pending_root
        many = "signature" if change.missing == 1 else "signatures"
        write_line(f"root {change.metadata.signed.version} waits for {change.missing} more {many}: waspi repo sign")


def _reach(entry: DeploymentEntry) -> str:
    if not entry.devices:
        return f"{entry.stage:g}%"
    named = "1 device by name" if len(entry.devices) == 1 else f"{len(entry.devices)} devices by name"
    return f"{entry.stage:g}% and {named}" if entry.stage else named


def _expiry(role: RoleStatus) -> str:
    when = f"{role.expires:%Y-%m-%d}"
    soon = role.days_left < (SOON_ROOT_DAYS if role.role == Role.ROOT else SOON_DAYS)
    remedy = ""
    if soon and role.role == Role.ROOT:  # a publication renews all the others
        remedy = f": waspi repo rotate --role root --threshold {role.threshold}"
    if role.days_left < 0:
        return f"EXPIRED {when}{remedy or ': waspi repo publish'}"
    told = f"expires {when} ({role.days_left:.0f} days{', soon' if soon else ''}){remedy}"
    return told + (", outdated" if role.outdated else "")


def _keys(role: RoleStatus) -> str:
    names = ", ".join(role.keys)
    return f"{role.threshold} of {names}" if len(role.keys) > 1 else names
