"""Attacks on updates from the side of the repository, as tuf-conformance has them: python-tuf's client refuses each.

What the metadata says must make them detectable: lengths and hashes of everything, versions that only grow, expiries.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Timestamp

from tests.simulators.repository_client import RepositoryClient
from tests.simulators.repository_site import Site
from waspi.errors import EnvelopeError
from waspi.fleet.key_file import KeyFile
from waspi.fleet.repository.key_ring import KeyRing, Role, signer_of
from waspi.protocol.wanted import check_serial


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.ship("1.0.0")
    return made


def seen(site: Site) -> RepositoryClient:
    client = site.client()
    client.updater()
    return client


def swapped(name: str, data: bytes) -> Callable[[str, bytes], bytes]:
    return lambda path, honest: data if path == name else honest


def test_fault_18_an_old_timestamp_is_refused(site: Site) -> None:
    old = (site.folder / "metadata" / "timestamp.json").read_bytes()
    site.ship("2.0.0")
    client = seen(site)
    client.hook = swapped("metadata/timestamp.json", old)
    with pytest.raises(BadVersionNumberError):
        client.updater()
    client.hook = lambda _, data: data
    assert client.deployment("kitchen").serial == 2


def test_fault_18_an_old_snapshot_or_targets_file_is_refused(site: Site) -> None:
    before = seen(site)
    metadata = site.folder / "metadata"
    old = {role: (metadata / f"2.{role}.json").read_bytes() for role in ("snapshot", "targets")}
    site.ship("2.0.0")
    for role, data in old.items():
        for client in (before, site.client()):  # one that has seen the old, one that has seen nothing
            client.hook = swapped(f"metadata/3.{role}.json", data)
            with pytest.raises((LengthOrHashMismatchError, BadVersionNumberError)):
                client.updater().get_targetinfo("deployments/kitchen.json")
            client.hook = lambda _, honest: honest
    assert before.deployment("kitchen").serial == 2


def test_fault_18_an_old_deployment_is_refused(site: Site) -> None:
    (old,) = (site.folder / "targets" / "deployments").iterdir()
    data = old.read_bytes()
    site.ship("2.0.0")
    client = seen(site)
    client.hook = lambda path, honest: data if "deployments" in path else honest
    with pytest.raises((LengthOrHashMismatchError, DownloadLengthMismatchError)):
        client.deployment("kitchen")


def test_fault_18_a_repository_put_back_from_a_backup_cannot_lower_a_serial(site: Site) -> None:
    client = site.client()
    site.ship("2.0.0")
    newest = client.deployment("kitchen")
    assert check_serial(newest, group="kitchen", seen=1) == newest
    with pytest.raises(EnvelopeError, match="serial 2, and 3"):
        check_serial(newest, group="kitchen", seen=3)
    with pytest.raises(EnvelopeError, match="says that it is of group kitchen"):
        check_serial(newest, group="cellar", seen=0)


def test_a_frozen_repository_expires(site: Site) -> None:
    client = seen(site)
    client.now = site.repository.status().roles[3].expires
    with pytest.raises(ExpiredMetadataError):
        client.updater()


def test_mixed_metadata_of_two_publications_is_refused(site: Site) -> None:
    saved = site.base / "saved"
    shutil.copytree(site.folder, saved)
    site.ship("2.0.0")
    shutil.move(site.folder, site.base / "first")
    shutil.copytree(saved, site.folder)
    site.ship("3.0.0")  # another publication of the same version numbers, signed by the same keys
    mixed = (site.base / "first" / "metadata" / "3.targets.json").read_bytes()
    client = site.client()
    client.hook = swapped("metadata/3.targets.json", mixed)
    with pytest.raises(LengthOrHashMismatchError):
        client.updater().get_targetinfo("deployments/kitchen.json")


@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.targets.json"])
def test_fault_20_endless_data_is_cut_off(site: Site, name: str) -> None:
    site.ship("2.0.0")
    client = site.client()
    client.hook = lambda path, data: data + b" " * 8_000_000 if path.endswith(name) else data
    with pytest.raises((DownloadLengthMismatchError, RepositoryError)):
        client.updater().get_targetinfo("deployments/kitchen.json")


def test_fault_20_an_endless_module_is_cut_off(site: Site) -> None:
    client = site.client()
    client.hook = lambda path, data: data * 100 if path.endswith(".wasm") else data
    with pytest.raises(DownloadLengthMismatchError):
        client.release("append", "1.0.0")


def test_fault_19_a_root_signed_only_by_new_keys_is_refused(site: Site, tmp_path: Path) -> None:
    client = seen(site)
    thief = KeyRing(tmp_path / "thief")
    root = Metadata.from_file(str(site.folder / "metadata" / "1.root.json"))
    for role in (Role.ROOT, Role.TIMESTAMP):
        for key_id in list(root.signed.roles[role].keyids):
            root.signed.revoke_key(key_id, role)
        signers = [thief.create(role) for _ in range(2)]
        for signer in signers:
            root.signed.add_key(signer.public_key, role)
    root.signed.version = 2
    root.signatures.clear()
    for signer in thief.signers(root.signed.roles[Role.ROOT].keyids):
        root.sign(signer, append=True)
    (site.folder / "metadata" / "2.root.json").write_bytes(root.to_bytes())
    with pytest.raises(UnsignedMetadataError):
        client.updater()


def test_fault_19_a_root_version_that_was_skipped_is_refused(site: Site) -> None:
    client = seen(site)
    site.repository.rotate(Role.TIMESTAMP)
    site.repository.rotate(Role.TIMESTAMP)
    third = (site.folder / "metadata" / "3.root.json").read_bytes()
    client.hook = swapped("metadata/2.root.json", third)
    with pytest.raises((BadVersionNumberError, UnsignedMetadataError)):
        client.updater()


def test_one_root_key_of_two_that_are_needed_gives_nothing(site: Site) -> None:
    client = seen(site)
    stolen = signer_of(KeyFile.find(site.keys, "root-1"))
    root = Metadata.from_file(str(site.folder / "metadata" / "1.root.json"))
    root.signed.version = 2
    root.signatures.clear()
    root.sign(stolen)
    (site.folder / "metadata" / "2.root.json").write_bytes(root.to_bytes())
    with pytest.raises(UnsignedMetadataError):
        client.updater()


def test_a_stolen_timestamp_key_cannot_bring_a_module(site: Site) -> None:
    client = seen(site)
    stolen = signer_of(KeyFile.find(site.keys, "timestamp-1"))
    path = site.folder / "metadata" / "3.snapshot.json"
    snapshot = Metadata.from_file(str(site.folder / "metadata" / "2.snapshot.json"))
    snapshot.signed.version = 3
    snapshot.signatures.clear()
    snapshot.sign(stolen)
    path.write_bytes(snapshot.to_bytes())
    timestamp = Metadata[Timestamp].from_file(str(site.folder / "metadata" / "timestamp.json"))
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta.version = 3
    timestamp.signed.snapshot_meta.length = None
    timestamp.signed.snapshot_meta.hashes = None
    timestamp.signatures.clear()
    timestamp.sign(stolen)
    (site.folder / "metadata" / "timestamp.json").write_bytes(timestamp.to_bytes())
    with pytest.raises(UnsignedMetadataError):
        client.updater()


def test_fast_forward_is_undone_by_rotating_the_key(site: Site) -> None:
    """TUF 1.0.33, 5.3.11: whoever stole the timestamp key may have used up the version numbers."""
    client = seen(site)
    path = site.folder / "metadata" / "timestamp.json"
    honest = path.read_bytes()
    timestamp = Metadata.from_bytes(honest)
    timestamp.signed.version = 2**31
    timestamp.signatures.clear()
    timestamp.sign(signer_of(KeyFile.find(site.keys, "timestamp-1")))
    client.hook = swapped("metadata/timestamp.json", timestamp.to_bytes())
    client.updater()
    client.hook = lambda _, data: data
    with pytest.raises(BadVersionNumberError):
        client.updater()
    site.repository.rotate(Role.TIMESTAMP)
    site.ship("2.0.0")
    assert client.deployment("kitchen").serial == 2


def test_every_name_is_given_with_length_and_hash(site: Site) -> None:
    """A device bounds what it fetches before it fetches it."""
    site.ship("2.0.0")
    timestamp = json.loads((site.folder / "metadata" / "timestamp.json").read_bytes())["signed"]
    snapshot = json.loads((site.folder / "metadata" / "3.snapshot.json").read_bytes())["signed"]
    for entry in (*timestamp["meta"].values(), *snapshot["meta"].values()):
        assert entry["length"] > 0
        assert set(entry["hashes"]) == {"sha256"}
