"""What a device believes of a repository, and what it never believes: the cases of tuf-conformance, on the device."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets

from tests.simulators.folder_source import FolderSource, honest
from tests.simulators.repository_site import Site
from tests.unit.updates.board import RANGE, Board, metadata, swapped
from waspi.errors import ConfigError, RepositoryError, StorageError
from waspi.fleet.key_file import KeyFile
from waspi.fleet.repository.key_ring import KeyRing, Role, signer_of
from waspi.protocol.repository_path import module_target
from waspi.updates.seen import read_seen
from waspi.updates.signed_repository import SignedRepository
from waspi.updates.source import Piece, Range, SourceFetcher


def test_deployments_and_releases_come_as_they_were_signed(site: Site, board: Board) -> None:
    assert board.deployment().serial == 1
    repository = board.look()
    info = repository.target(module_target("append", "1.0.0"))
    assert info is not None
    assert repository.fetch(info, board.folder / "x.wasm")
    assert (board.folder / "x.wasm").read_bytes() == b"append 1.0.0 " * 500
    board.source.asked.clear()
    assert not repository.fetch(info, board.folder / "x.wasm")
    assert board.source.asked == []


def test_a_second_look_at_the_same_asks_for_next_to_nothing(site: Site, board: Board) -> None:
    board.deployment()
    board.source.asked.clear()
    board.deployment()
    assert [path for path, _ in board.source.asked] == ["metadata/timestamp.json"]


# --- FAULT 18 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True])
def test_fault_18_an_old_timestamp_is_refused(site: Site, board: Board, lost: bool) -> None:
    """Also when a power cut took the metadata that python-tuf compares with."""
    old = metadata(site, "timestamp.json")
    site.ship("2.0.0")
    assert board.deployment().serial == 2
    if lost:
        board.lose_metadata()
    board.source.hook = swapped("metadata/timestamp.json", old)
    with pytest.raises(RepositoryError, match=r"version|seen before"):
        board.look()
    board.source.hook = honest
    assert board.deployment().serial == 2


def test_fault_18_old_snapshot_targets_and_deployment_are_refused(site: Site, board: Board) -> None:
    old = {role: metadata(site, f"2.{role}.json") for role in ("snapshot", "targets")}
    (deployment,) = (site.folder / "targets" / "deployments").iterdir()
    told = deployment.read_bytes()
    board.look()
    site.ship("2.0.0")
    for role, data in old.items():
        board.source.hook = swapped(f"metadata/3.{role}.json", data)
        with pytest.raises(RepositoryError):
            board.look()
    board.source.hook = lambda path, right: told.ljust(len(right)) if "/deployments/" in path else right
    with pytest.raises(RepositoryError, match="not those that were signed"):
        board.deployment()
    board.source.hook = honest
    assert board.deployment().serial == 2


def test_fault_18_a_repository_that_was_put_back_from_a_backup_is_refused(site: Site, board: Board) -> None:
    """All signatures are right and all versions fit; only the deployment counts backwards."""
    saved = site.base / "saved"
    shutil.copytree(site.folder, saved)
    site.ship("2.0.0")
    site.ship("3.0.0")
    assert board.deployment().serial == 3
    shutil.rmtree(site.folder)
    shutil.copytree(saved, site.folder)
    with pytest.raises(RepositoryError):
        board.deployment()
    for _ in range(4):  # versions run ahead of what was seen
        site.repository.publish()
    for version in ("2.0.1", "2.0.2", "2.0.3"):
        site.add("other", version)
        site.repository.publish()
    with pytest.raises(RepositoryError, match="serial 1, and 3 was seen before"):
        board.deployment()


def test_fault_18_a_deployment_that_is_gone_is_not_an_empty_one(site: Site, board: Board) -> None:
    board.deployment()
    targets = Metadata[Targets].from_bytes(metadata(site, "2.targets.json"))
    assert "deployments/kitchen.json" in targets.signed.targets
    board.look()
    seen = board.look()
    assert seen.deployments(("kitchen", "cellar")).keys() == {"kitchen"}
    (board.folder / "seen.json").write_text((board.folder / "seen.json").read_text().replace('"kitchen"', '"cellar"'))
    with pytest.raises(RepositoryError, match="cellar had a deployment and has none"):
        board.look().deployments(("kitchen", "cellar"))


# --- FAULT 19, key compromise, rotation ------------------------------------------------------------------------------


def forged_root(site: Site, base: Path, signers: KeyRing) -> bytes:
    root = Metadata.from_bytes(metadata(site, "1.root.json"))
    for key_id in list(root.signed.roles["root"].keyids):
        root.signed.revoke_key(key_id, "root")
    for signer in [signers.create(Role.ROOT) for _ in range(2)]:
        root.signed.add_key(signer.public_key, "root")
    root.signed.version = 2
    root.signatures.clear()
    for signer in signers.signers(root.signed.roles["root"].keyids):
        root.sign(signer, append=True)
    return root.to_bytes()


def test_fault_19_a_root_signed_only_by_new_keys_is_refused(site: Site, board: Board, tmp_path: Path) -> None:
    board.look()
    data = forged_root(site, tmp_path, KeyRing(tmp_path / "thief"))
    (site.folder / "metadata" / "2.root.json").write_bytes(data)
    with pytest.raises(RepositoryError, match="root"):
        board.look()
    (site.folder / "metadata" / "2.root.json").unlink()
    assert board.deployment().serial == 1


def test_fault_19_a_root_version_that_was_skipped_is_refused(site: Site, board: Board) -> None:
    board.look()
    site.repository.rotate(Role.TIMESTAMP)
    site.repository.rotate(Role.TIMESTAMP)
    board.source.hook = swapped("metadata/2.root.json", metadata(site, "3.root.json"))
    with pytest.raises(RepositoryError):
        board.look()
    board.source.hook = honest
    assert board.deployment().serial == 1


def test_one_root_key_of_the_two_that_are_needed_gives_nothing(site: Site, board: Board) -> None:
    board.look()
    root = Metadata.from_bytes(metadata(site, "1.root.json"))
    root.signed.version = 2
    root.signatures.clear()
    root.sign(signer_of(KeyFile.find(site.keys, "root-1")))
    board.source.hook = honest
    (site.folder / "metadata" / "2.root.json").write_bytes(root.to_bytes())
    with pytest.raises(RepositoryError):
        board.look()


def test_rotated_keys_are_followed_and_survive_the_loss_of_the_metadata(site: Site, board: Board) -> None:
    board.look()
    for role in (Role.TIMESTAMP, Role.SNAPSHOT, Role.TARGETS):
        site.repository.rotate(role)
    site.repository.rotate(Role.ROOT, replaced="root-1")
    site.ship("2.0.0")
    assert board.deployment().serial == 2
    board.lose_metadata()
    assert board.deployment().serial == 2


def test_an_old_root_is_no_way_back_to_replaced_keys(site: Site, board: Board) -> None:
    """Who has a key that was replaced and hides the newer roots is noticed, even after a power cut."""
    before = {path.name: path.read_bytes() for path in (site.folder / "metadata").iterdir()}
    site.repository.rotate(Role.TIMESTAMP)
    board.look()
    board.lose_metadata()
    for path in (site.folder / "metadata").iterdir():
        path.unlink()
    for name, data in before.items():
        (site.folder / "metadata" / name).write_bytes(data)
    with pytest.raises(RepositoryError, match="root metadata of version 1, and 2 was seen"):
        board.look()


def test_fast_forward_is_undone_by_rotating_the_key(site: Site, board: Board) -> None:
    timestamp = Metadata.from_bytes(metadata(site, "timestamp.json"))
    timestamp.signed.version = 2**31
    timestamp.signatures.clear()
    timestamp.sign(signer_of(KeyFile.find(site.keys, "timestamp-1")))
    board.source.hook = swapped("metadata/timestamp.json", timestamp.to_bytes())
    board.look()
    board.source.hook = honest
    with pytest.raises(RepositoryError):
        board.look()
    site.repository.rotate(Role.TIMESTAMP)
    site.ship("2.0.0")
    assert board.deployment().serial == 2


# --- freeze, clocks --------------------------------------------------------------------------------------------------


def test_a_frozen_repository_expires(site: Site, board: Board) -> None:
    board.look()
    board.wall = site.now + timedelta(days=15)
    with pytest.raises(RepositoryError, match="expired"):
        board.look()
    site.later(15)
    site.repository.publish()
    board.look()


def test_fault_14_a_board_in_1970_takes_updates_and_learns_the_time(site: Site, board: Board) -> None:
    board.wall = datetime(1970, 1, 1, tzinfo=UTC)
    assert board.deployment().serial == 1
    assert read_seen(board.folder).floor == site.now.timestamp()


def test_fault_14_a_board_in_1970_does_not_accept_the_past(site: Site, board: Board) -> None:
    """What had expired before the newest thing that it has seen was signed, it refuses, whatever its clock says."""
    board.wall = datetime(1970, 1, 1, tzinfo=UTC)
    board.deployment()
    site.later(20)
    site.repository.publish()
    board.look()
    current = Metadata.from_bytes(metadata(site, "timestamp.json"))
    current.signed.version += 1
    current.signed.expires = site.now - timedelta(days=1)
    current.signatures.clear()
    current.sign(signer_of(KeyFile.find(site.keys, "timestamp-1")))
    board.source.hook = swapped("metadata/timestamp.json", current.to_bytes())
    with pytest.raises(RepositoryError, match="timestamp metadata has expired"):
        board.look()
    board.source.hook = honest
    site.later(1)
    site.repository.publish()
    site.repository.publish()
    assert board.deployment().serial == 1


def test_fault_14_a_clock_that_jumped_ahead_does_not_stay_there(site: Site, board: Board) -> None:
    board.wall = site.now + timedelta(days=4000)
    with pytest.raises(RepositoryError, match="expired"):
        board.look()
    board.wall = site.now
    assert board.deployment().serial == 1


# --- FAULT 20 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_fault_20_endless_metadata_is_not_even_asked_for(site: Site, board: Board, name: str) -> None:
    board.source.hook = lambda path, data: data + b" " * 30_000_000 if path.endswith(name) else data
    with pytest.raises(RepositoryError, match="are allowed"):
        board.look()
    assert len([path for path, _ in board.source.asked if path.endswith(name)]) == 1


def fetch(board: Board) -> bool:
    repository = board.look()
    info = repository.target(module_target("append", "1.0.0"))
    assert info is not None
    return repository.fetch(info, board.folder / "x.wasm")


def test_fault_20_a_module_of_another_length_is_not_asked_for_on(site: Site, board: Board) -> None:
    board.source.hook = lambda path, data: data * 100 if path.endswith(".wasm") else data
    with pytest.raises(RepositoryError, match="is said to have 650000 bytes, signed are 6500"):
        fetch(board)
    assert len([path for path, _ in board.source.asked if path.endswith(".wasm")]) == 1


def test_fault_20_mixed_bytes_fail_the_hash_and_leave_nothing(site: Site, board: Board) -> None:
    board.source.hook = lambda path, data: data[:4096] + b"?" * (len(data) - 4096) if path.endswith(".wasm") else data
    with pytest.raises(RepositoryError, match="not those that were signed"):
        fetch(board)
    assert not [*(board.folder / "download").iterdir()]
    board.source.hook = honest
    assert fetch(board)


def test_a_file_that_changes_while_it_is_read_is_read_again(site: Site, board: Board) -> None:
    board.look()
    whole = metadata(site, "2.targets.json")
    big = whole + b" " * 9000
    lengths = iter([len(big), len(big) + 1, *[len(big)] * 9])

    class Shifting(FolderSource):
        def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
            for piece in super().pieces(path, wanted):
                yield Piece(piece.offset, next(lengths), piece.data)

    source = Shifting(site.folder, lambda _path, _data: big)
    assert SourceFetcher(source, RANGE).download_bytes("metadata/2.targets.json", 100_000) == big


# --- the rest --------------------------------------------------------------------------------------------------------


def test_no_root_and_a_wrong_root_are_the_configurations_fault(site: Site, board: Board) -> None:
    board.root.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="no root metadata"):
        board.look()
    board.root.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        board.look()


def test_what_was_seen_is_not_forgotten_silently(site: Site, board: Board) -> None:
    board.look()
    (board.folder / "seen.json").write_bytes(b"{")
    with pytest.raises(StorageError, match="delete it"):
        SignedRepository(board.folder, board.root, board.source, range_bytes=RANGE, now=0.0)


def test_the_floor_is_what_the_timestamp_says(site: Site) -> None:
    signed = json.loads(metadata(site, "timestamp.json"))["signed"]
    assert signed["waspi"]["issued"] == int(site.now.timestamp())
