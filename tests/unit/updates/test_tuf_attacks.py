"""Cases of tuf-conformance by role: expiry, rotation, thresholds, fast-forward, and parts that do not fit."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from tests.simulators.folder_source import honest
from tests.simulators.repository_site import Site
from tests.unit.updates.board import Board, forge, metadata, newest_root, swapped
from waspi.errors import RepositoryError
from waspi.fleet.repository.key_ring import KeyRing, Role

ONLINE = (Role.TIMESTAMP, Role.SNAPSHOT, Role.TARGETS)
ABOVE = {
    Role.TIMESTAMP: (Role.TIMESTAMP,),
    Role.SNAPSHOT: (Role.SNAPSHOT, Role.TIMESTAMP),
    Role.TARGETS: (Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP),
}
"""A role, and those through which devices have seen its version."""


def ring(site: Site) -> KeyRing:
    return KeyRing(site.keys)


def test_what_the_right_keys_sign_is_followed(site: Site, board: Board) -> None:
    """Or the refusals below would prove nothing."""
    board.look()
    forge(site, ring(site))
    assert board.deployment().serial == 1
    assert Metadata[Any].from_file(str(board.folder / "metadata" / "targets.json")).signed.version == 3


# --- freeze -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ONLINE)
@pytest.mark.parametrize("known", [False, True])
def test_each_role_expires_by_itself(site: Site, board: Board, role: Role, known: bool) -> None:
    """A fresh timestamp does not make an old list of releases fresh."""
    if known:
        board.look()

    def expire(signed: Any) -> None:  # noqa: ANN401 - the role's type
        signed.expires = site.now + timedelta(days=1)

    forge(site, ring(site), **{role: expire})
    board.look()
    board.wall = site.now + timedelta(days=2)
    with pytest.raises(RepositoryError, match="expired"):
        board.look()
    site.later(2)
    forge(site, ring(site), **{role: lambda signed: setattr(signed, "expires", site.now + timedelta(days=9))})
    assert board.deployment().serial == 1


def test_an_expired_root_ends_trust_and_one_that_only_led_on_does_not(site: Site, board: Board) -> None:
    lifetime = newest_root(site).signed.expires - site.now
    site.later(lifetime.days - 1)
    site.repository.publish()
    site.repository.rotate(Role.TIMESTAMP)  # the second root, while the first one holds
    site.later(2)
    board.wall = site.now
    assert board.deployment().serial == 1  # by way of the first, which has expired
    board.wall = newest_root(site).signed.expires + timedelta(days=1)
    site.now = board.wall
    site.repository.publish()
    with pytest.raises(RepositoryError, match="expired"):
        board.look()


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ONLINE)
def test_a_replaced_key_of_each_role_signs_nothing_more(site: Site, board: Board, role: Role) -> None:
    board.look()
    before = site.base / "before"
    shutil.copytree(site.keys, before)
    site.repository.rotate(role)
    assert board.deployment().serial == 1
    version = Metadata[Any].from_file(str(board.folder / "metadata" / f"{role}.json")).signed.version
    stolen = KeyRing(before)
    authority = newest_root(site).signed
    assert not stolen.signers(authority.roles[role].keyids)
    forge(site, ring(site))
    name = "timestamp.json" if role is Role.TIMESTAMP else f"{version + 1}.{role}.json"
    forged = Metadata[Any].from_bytes(metadata(site, name))
    forged.signatures.clear()
    for signer in stolen.signers(Metadata[Any].from_bytes(metadata(site, "1.root.json")).signed.roles[role].keyids):
        forged.sign(signer, append=True)
    assert forged.signatures
    board.source.hook = swapped(f"metadata/{name}", forged.to_bytes())
    with pytest.raises(RepositoryError, match=f"{role} was signed by 0/1 keys"):
        board.look()
    board.source.hook = honest
    assert board.deployment().serial == 1


def test_root_keys_replaced_one_by_one_are_followed_by_a_board_that_slept(site: Site, board: Board) -> None:
    first = set(newest_root(site).signed.roles["root"].keyids)
    for name in ("root-1", "root-2", "root-3"):
        site.repository.rotate(Role.ROOT, replaced=name)
    site.ship("2.0.0")
    assert not first & set(newest_root(site).signed.roles["root"].keyids)
    assert board.deployment().serial == 2
    assert Metadata[Any].from_file(str(board.folder / "metadata" / "root.json")).signed.version == 4


def second_root(site: Site) -> Metadata[Any]:
    root = Metadata[Any].from_bytes(metadata(site, "1.root.json"))
    root.signed.version = 2
    root.signatures.clear()
    return root


def test_one_key_that_signs_twice_is_one_key(site: Site, board: Board) -> None:
    """Below the threshold, under a second name for the same key."""
    board.look()
    root = second_root(site)
    (signer, *_) = ring(site).signers(root.signed.roles["root"].keyids)
    root.sign(signer, append=True)
    (signature,) = root.signatures.values()
    others = [key_id for key_id in root.signed.roles["root"].keyids if key_id != signature.keyid]
    document = root.to_dict()
    document["signatures"].append({"keyid": others[0], "sig": signature.signature})
    twice = Metadata[Any].from_dict(document)
    assert len(twice.signatures) == 2
    (site.folder / "metadata" / "2.root.json").write_bytes(twice.to_bytes())
    with pytest.raises(RepositoryError, match="root was signed by 1/2 keys"):
        board.look()


def test_a_threshold_that_was_raised_binds_the_next_root(site: Site, board: Board) -> None:
    site.repository.rotate(Role.ROOT, replaced="root-1", threshold=3)
    assert board.deployment().serial == 1
    root = Metadata[Any].from_bytes(metadata(site, "2.root.json"))
    root.signed.version = 3
    root.signatures.clear()
    for signer in ring(site).signers(root.signed.roles["root"].keyids)[:2]:
        root.sign(signer, append=True)
    (site.folder / "metadata" / "3.root.json").write_bytes(root.to_bytes())
    with pytest.raises(RepositoryError, match="root was signed by 2/3 keys"):
        board.look()


def test_a_root_that_lowers_its_own_threshold_needs_the_old_one(site: Site, board: Board) -> None:
    board.look()
    root = second_root(site)
    root.signed.roles["root"].threshold = 1
    (signer, *_) = ring(site).signers(root.signed.roles["root"].keyids)
    root.sign(signer)
    (site.folder / "metadata" / "2.root.json").write_bytes(root.to_bytes())
    with pytest.raises(RepositoryError, match="root was signed by 1/2 keys"):
        board.look()


# --- fast-forward -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ONLINE)
@pytest.mark.parametrize("lost", [False, True])
def test_a_fast_forward_of_each_role_is_undone_by_rotation(
    site: Site, board: Board, tmp_path: Path, role: Role, lost: bool
) -> None:
    """The attacker has the role's key, and all above it, and uses the version numbers up; then both are replaced."""
    saved = tmp_path / "saved"
    shutil.copytree(site.folder, saved)

    def run_ahead(signed: Any) -> None:  # noqa: ANN401 - the role's type
        signed.version = 10**8

    forge(site, ring(site), **{role: run_ahead})
    board.look()
    shutil.rmtree(site.folder)
    shutil.copytree(saved, site.folder)
    for version in ("2.0.0", "3.0.0"):
        site.ship(version)
    with pytest.raises(RepositoryError):
        board.look()
    for each in ABOVE[role]:
        site.repository.rotate(each)
    if lost:
        board.lose_metadata()
    assert board.deployment().serial == 3


@pytest.mark.parametrize("lost", [False, True])
def test_a_new_snapshot_key_alone_undoes_a_fast_forward_of_targets(
    site: Site, board: Board, tmp_path: Path, lost: bool
) -> None:
    """What the standard asks for (TUF 1.0.33, 5.3.11): the version of targets stands in the snapshot."""
    saved = tmp_path / "saved"
    shutil.copytree(site.folder, saved)
    forge(site, ring(site), **{Role.TARGETS: lambda signed: setattr(signed, "version", 10**8)})
    board.look()
    shutil.rmtree(site.folder)
    shutil.copytree(saved, site.folder)
    for version in ("2.0.0", "3.0.0"):
        site.ship(version)
    with pytest.raises(RepositoryError):
        board.look()
    site.repository.rotate(Role.SNAPSHOT)
    if lost:
        board.lose_metadata()
    assert board.deployment().serial == 3
    site.ship("4.0.0")
    assert board.deployment().serial == 4


def test_a_target_without_sha256_is_refused_in_words_that_say_whose_rule_that_is(site: Site, board: Board) -> None:
    def other_hash(signed: Any) -> None:  # noqa: ANN401 - the role's type
        for target in signed.targets.values():
            target.hashes = {"sha512": "ab" * 64}

    forge(site, ring(site), **{Role.TARGETS: other_hash})
    with pytest.raises(RepositoryError, match=r"with sha512 alone\. TUF allows that; waspi asks for a SHA-256"):
        board.deployment()


# --- parts that do not fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.SNAPSHOT, Role.TARGETS])
@pytest.mark.parametrize("lost", [False, True])
def test_metadata_of_two_publications_is_not_mixed(
    site: Site, board: Board, tmp_path: Path, role: Role, lost: bool
) -> None:
    """Same version numbers, same keys, both honest once; only the hashes tell."""
    board.look()
    saved = tmp_path / "saved"
    shutil.copytree(site.folder, saved)
    site.ship("2.0.0")
    other = metadata(site, f"3.{role}.json")
    shutil.rmtree(site.folder)
    shutil.copytree(saved, site.folder)
    site.ship("3.0.0")
    assert other != metadata(site, f"3.{role}.json")
    if lost:
        board.lose_metadata()
    board.source.hook = swapped(f"metadata/3.{role}.json", other)
    with pytest.raises(RepositoryError, match=r"[Hh]ash|length"):
        board.look()
    board.source.hook = honest
    assert board.deployment().serial == 2


def test_the_metadata_of_another_role_does_not_pass(site: Site, board: Board) -> None:
    board.look()
    site.ship("2.0.0")
    board.source.hook = swapped("metadata/timestamp.json", metadata(site, "3.snapshot.json"))
    with pytest.raises(RepositoryError, match="timestamp"):
        board.look()
    board.source.hook = honest
    assert board.deployment().serial == 2


def test_fault_20_an_endless_root_is_not_even_asked_for(site: Site, board: Board) -> None:
    board.look()
    site.repository.rotate(Role.TIMESTAMP)
    board.source.hook = lambda path, data: data + b" " * 30_000_000 if path.endswith("2.root.json") else data
    with pytest.raises(RepositoryError, match="are allowed"):
        board.look()
    assert len([path for path, _ in board.source.asked if path.endswith("2.root.json")]) == 1
