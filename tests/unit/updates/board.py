"""A device that looks at a repository again and again, and what an attacker can make of what it is sent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile
from tuf.ngclient._internal import trusted_metadata_set

from tests.simulators.folder_source import FolderSource
from tests.simulators.repository_site import Site
from waspi.fleet.repository.key_ring import KeyRing, Role
from waspi.model.deployment import Deployment
from waspi.updates.seen import read_seen
from waspi.updates.signed_repository import SignedRepository

RANGE = 4096

Change = Callable[[Any], None]
"""Of the signed part of metadata; Any: the type is the role's."""


class Board:
    """A device's updater, look after look, with one folder; ``wall`` is its clock, ``floor`` what it knows better."""

    def __init__(self, site: Site, base: Path, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.folder = base / "updates"
        self.folder.mkdir()
        self.root = base / "root.json"
        self.root.write_bytes(site.repository.root_bytes())
        self.source = FolderSource(site.folder)
        self.wall = site.now
        board = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003 - datetime has it
                return board.wall

        class Module:
            datetime = Clock
            timezone = trusted_metadata_set.datetime.timezone

        patch.setattr(trusted_metadata_set, "datetime", Module)

    def look(self) -> SignedRepository:
        """One look; raises what a look raises."""
        floor = read_seen(self.folder).floor
        made = SignedRepository(
            self.folder, self.root, self.source, range_bytes=RANGE, now=max(self.wall.timestamp(), floor)
        )
        made.refresh()
        return made

    def deployment(self) -> Deployment:
        return self.look().deployments(("kitchen",))["kitchen"]

    def lose_metadata(self) -> None:
        """What a power cut can do to files that python-tuf does not sync."""
        shutil.rmtree(self.folder / "metadata")


def swapped(name: str, data: bytes) -> Callable[[str, bytes], bytes]:
    return lambda path, right: data if path == name else right


def metadata(site: Site, name: str) -> bytes:
    return (site.folder / "metadata" / name).read_bytes()


def forge(site: Site, keys: KeyRing, **changes: Change) -> None:
    """Publish the next version of all three roles, changed, signed by those of ``keys`` that the newest root names."""
    forged = _Forger(site, keys, changes)
    stamp = forged.load("timestamp.json")
    snapshot = forged.load(f"{stamp.signed.snapshot_meta.version}.snapshot.json")
    targets = forged.load(f"{snapshot.signed.meta['targets.json'].version}.targets.json")
    forged.write(targets, Role.TARGETS)
    snapshot.signed.meta["targets.json"] = MetaFile(targets.signed.version)
    forged.write(snapshot, Role.SNAPSHOT)
    stamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
    forged.write(stamp, Role.TIMESTAMP)


class _Forger:
    def __init__(self, site: Site, keys: KeyRing, changes: dict[str, Change]) -> None:
        self._folder = site.folder / "metadata"
        self._keys = keys
        self._changes = changes
        self._root = newest_root(site)

    def load(self, name: str) -> Metadata[Any]:
        return Metadata[Any].from_bytes((self._folder / name).read_bytes())

    def write(self, made: Metadata[Any], role: Role) -> None:
        made.signed.version += 1
        if role in self._changes:
            self._changes[role](made.signed)
        made.signatures.clear()
        for signer in self._keys.signers(self._root.signed.roles[role].keyids):
            made.sign(signer, append=True)
        name = f"{role}.json" if role is Role.TIMESTAMP else f"{made.signed.version}.{role}.json"
        (self._folder / name).write_bytes(made.to_bytes())


def newest_root(site: Site) -> Metadata[Any]:
    """The root that devices follow to."""
    versions = [int(path.name.partition(".")[0]) for path in (site.folder / "metadata").glob("*.root.json")]
    return Metadata[Any].from_bytes(metadata(site, f"{max(versions)}.root.json"))
