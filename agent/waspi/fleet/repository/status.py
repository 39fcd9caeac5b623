"""How a repository stands: what is published, what waits, what needs its operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from waspi.fleet.repository.key_ring import KeyRing, Role
from waspi.fleet.repository.root_change import RootChange

if TYPE_CHECKING:
    from waspi.fleet.repository.contents import Contents
    from waspi.fleet.repository.draft import Draft
    from waspi.fleet.repository.metadata_store import MetadataSet


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role's metadata and keys."""

    role: str
    version: int
    expires: datetime
    days_left: float
    """Negative when it has expired: devices take no updates then, and go on with what they run."""
    keys: tuple[str, ...]
    """File ids where the files are at hand, else the beginnings of key ids."""
    threshold: int
    outdated: bool
    """Signed by keys that were replaced: ``waspi repo publish`` mends it."""


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """The whole repository."""

    roles: tuple[RoleStatus, ...]
    contents: Contents
    """With the draft's changes."""
    unpublished: tuple[str, ...]
    """What the draft holds, one line each."""
    pending_root: RootChange | None


def status_of(
    loaded: MetadataSet,
    contents: Contents,
    draft: Draft,
    keys: KeyRing,
    pending: RootChange | None,
    now: datetime,
) -> RepositoryStatus:
    """Put the status together."""
    root = loaded.root.signed
    roles = []
    for role, signed in (
        (Role.ROOT, root),
        (Role.TARGETS, loaded.targets.signed),
        (Role.SNAPSHOT, loaded.snapshot.signed),
        (Role.TIMESTAMP, loaded.timestamp.signed),
    ):
        delegated = root.get_delegated_role(role)
        roles.append(
            RoleStatus(
                role=str(role),
                version=signed.version,
                expires=signed.expires,
                days_left=round((signed.expires - now).total_seconds() / 86400, 2),
                keys=tuple(keys.name_of(key_id) for key_id in delegated.keyids),
                threshold=delegated.threshold,
                outdated=role in loaded.outdated,
            )
        )
    return RepositoryStatus(tuple(roles), contents, tuple(_lines(draft)), pending)


def _lines(draft: Draft) -> list[str]:
    return [
        *(f"add {target}" for target in sorted(draft.modules)),
        *(f"remove {target}" for target in sorted(draft.removed)),
        *(f"deploy to {group}, serial {each.serial}" for group, each in sorted(draft.deployments.items())),
    ]
