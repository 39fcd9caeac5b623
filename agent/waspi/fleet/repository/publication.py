"""Making new signed metadata: targets, then snapshot, then timestamp, each on disk before the next names it.

A crash between any two of these leaves the repository as it was, since devices start from the timestamp. What was
written for the lost publication is overwritten by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from waspi.fleet.repository.contents import HASH, check_target, write_target
from waspi.fleet.repository.key_ring import KeyRing, Role
from waspi.fleet.repository.settings import PUBLIC_MODE, Lifetimes
from waspi.protocol.deployment_document import encode_deployment
from waspi.protocol.issued import issued_fields
from waspi.protocol.repository_path import deployment_target

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import Root, Signed

    from waspi.fleet.repository.draft import Draft
    from waspi.fleet.repository.metadata_store import MetadataSet, MetadataStore, RoleMetadata

_RENEW_BELOW = 0.5
"""Metadata with less than this share of its lifetime left is signed anew by every publication."""


@dataclass(frozen=True, slots=True)
class Published:
    """Versions of the metadata after a publication."""

    timestamp: int
    snapshot: int
    targets: int
    deployments: dict[str, int]
    """Group to the serial of each deployment that was new."""


class Publisher:
    """Signs on behalf of one repository."""

    def __init__(self, folder: Path, store: MetadataStore, keys: KeyRing, lifetimes: Lifetimes) -> None:
        self._folder = folder
        self._store = store
        self._keys = keys
        self._lifetimes = lifetimes

    def begin(self, root: Root, now: datetime) -> None:
        """Publish a repository without any target."""
        targets = Metadata(Targets(expires=now))
        info = self._sign_and_write(root, targets, Role.TARGETS, now)
        snapshot = Metadata(Snapshot(expires=now, meta={"targets.json": info}))
        info = self._sign_and_write(root, snapshot, Role.SNAPSHOT, now)
        self._sign_and_write(root, Metadata(Timestamp(expires=now, snapshot_meta=info)), Role.TIMESTAMP, now)

    def publish(self, current: MetadataSet, draft: Draft, now: datetime) -> Published:
        """Sign ``draft``, and whatever is outdated or soon expires; the timestamp always.

        Raises :class:`KeyFileError` when a key is not at
        hand, :class:`RepositoryError` when bytes of a target are missing, :class:`StorageError`.
        """
        authority = current.root.signed
        targets, snapshot, timestamp = current.targets, current.snapshot, current.timestamp
        fresh = self._apply(targets.signed, draft)
        if fresh or self._due(targets.signed, current, now):
            targets.signed.version += 1
            info = self._sign_and_write(authority, targets, Role.TARGETS, now)
            snapshot.signed.meta["targets.json"] = info
            fresh = True
        if fresh or self._due(snapshot.signed, current, now):
            snapshot.signed.version += 1
            timestamp.signed.snapshot_meta = self._sign_and_write(authority, snapshot, Role.SNAPSHOT, now)
        timestamp.signed.version += 1
        self._sign_and_write(authority, timestamp, Role.TIMESTAMP, now)
        serials = {group: deployment.serial for group, deployment in draft.deployments.items()}
        return Published(timestamp.signed.version, snapshot.signed.version, targets.signed.version, serials)

    def _apply(self, targets: Targets, draft: Draft) -> bool:
        """Bring the draft's changes into ``targets``; whether there were any."""
        for target, entry in draft.modules.items():
            check_target(self._folder, entry)
            targets.targets[target] = entry
        for target in draft.removed:
            targets.targets.pop(target, None)
        for group, deployment in draft.deployments.items():
            target, data = deployment_target(group), encode_deployment(deployment)
            write_target(self._folder, target, data, PUBLIC_MODE)
            targets.targets[target] = TargetFile.from_data(target, data, [HASH])
        return not draft.empty

    def _due(self, signed: Signed, current: MetadataSet, now: datetime) -> bool:
        lifetime: int = getattr(self._lifetimes, signed.type)
        left = (signed.expires - now).total_seconds() / 86400
        return signed.type in current.outdated or left < lifetime * _RENEW_BELOW

    def _sign_and_write(
        self,
        root: Root,
        metadata: RoleMetadata,
        role: Role,
        now: datetime,
    ) -> MetaFile:
        signed = metadata.signed
        signed.expires = self._lifetimes.expiry(role, now)
        if role is Role.TIMESTAMP:
            signed.unrecognized_fields.update(issued_fields(now.timestamp()))
        metadata.signatures.clear()
        metadata.sign(self._keys.signer(role, root.get_delegated_role(role).keyids))
        version = None if role is Role.TIMESTAMP else signed.version
        return MetaFile.from_data(signed.version, self._store.write(role, version, metadata), [HASH])
