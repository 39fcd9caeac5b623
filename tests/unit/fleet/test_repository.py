"""The repository as devices see it, through python-tuf's own client."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import ExpiredMetadataError

from tests.simulators.repository_site import GOLDEN, Site
from waspi.cli.repo_report import write_status
from waspi.errors import KeyFileError, RepositoryError, UsageError
from waspi.fleet.repository.key_ring import Role
from waspi.fleet.repository.repository import Repository
from waspi.fleet.repository.settings import Lifetimes
from waspi.model.deployment import DeploymentEntry
from waspi.protocol.issued import issued_of
from waspi.protocol.repository_path import is_repository_path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_is_published_arrives(site: Site) -> None:
    release = site.add(version="1.0.0+build_7")
    site.repository.deploy("kitchen", "append", "1.0.0+build_7", stage=12.5)
    published = site.repository.publish()
    client = site.client()
    deployment = client.deployment("kitchen")
    assert (deployment.serial, deployment.entries) == (
        1,
        (DeploymentEntry("append", "1.0.0+build_7", 12.5, None),),
    )
    got, wasm = client.release("append", "1.0.0+build_7")
    assert got == release
    assert got.golden == GOLDEN
    assert len(wasm) == release.length
    assert published.deployments == {"kitchen": 1}


def test_nothing_is_seen_before_it_is_published(site: Site) -> None:
    site.ship("1.0.0")
    site.add(version="2.0.0")
    site.repository.deploy("kitchen", "append", "2.0.0")
    assert site.client().deployment("kitchen").serial == 1
    assert site.repository.published().deployments["kitchen"].serial == 1
    site.reopened().publish()
    assert site.client().deployment("kitchen").serial == 2


def test_everything_in_the_public_folder_is_public(site: Site) -> None:
    site.ship("1.0.0")
    for path in site.folder.rglob("*"):
        text = path.relative_to(site.folder).as_posix()
        assert not path.name.endswith(".key")
        if path.is_file() and path.name != ".lock":  # which nobody serves, and the umask decides on
            assert path.stat().st_mode & 0o777 == 0o644
            assert is_repository_path(text) or text in {"repository.json", ".lock"}
    for key in site.keys.glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_the_version_that_all_ran_before_is_the_base(site: Site) -> None:
    repository = site.repository
    for version in ("1", "2", "3"):
        site.add(version=version)

    def deploy(version: str, stage: float) -> tuple[str, float, str | None]:
        entry = repository.deploy("kitchen", "append", version, stage=stage).entries[0]
        return entry.version, entry.stage, entry.base

    assert deploy("1", 10) == ("1", 10, None)
    assert deploy("2", 10) == ("2", 10, None)  # 1 never ran everywhere
    assert deploy("2", 100) == ("2", 100, None)
    assert deploy("3", 1) == ("3", 1, "2")
    assert deploy("3", 50) == ("3", 50, "2")
    assert deploy("3", 0) == ("3", 0, "2")  # called off: everybody goes back to 2
    assert deploy("2", 100) == ("2", 100, None)


def test_a_group_without_a_module_and_a_release_without_users(site: Site) -> None:
    site.ship("1.0.0")
    with pytest.raises(RepositoryError, match="deployed to kitchen"):
        site.repository.remove("append", "1.0.0")
    site.repository.undeploy("kitchen", "append")
    site.repository.remove("append", "1.0.0")
    site.repository.publish()
    assert site.client().deployment("kitchen").entries == ()
    assert site.client().updater().get_targetinfo("modules/append/1.0.0.wasm") is None


def test_a_version_keeps_its_bytes(site: Site) -> None:
    site.ship("1.0.0")
    site.add(version="1.0.0")  # the same again: nothing happens
    with pytest.raises(RepositoryError, match="another version"):
        site.add(version="1.0.0", content=b"other")


def test_unknown_releases_are_not_deployed(site: Site) -> None:
    site.add(version="1.0.0")
    with pytest.raises(RepositoryError, match=r"versions of append here: 1\.0\.0"):
        site.repository.deploy("kitchen", "append", "1.0.1")
    with pytest.raises(RepositoryError, match="no release"):
        site.repository.deploy("kitchen", "append", "1.0.0", base="0.9")
    with pytest.raises(UsageError, match="per cent"):
        site.repository.deploy("kitchen", "append", "1.0.0", stage=0.001)


def test_publishing_renews_what_would_expire(site: Site) -> None:
    site.ship("1.0.0")
    site.later(50)
    client = site.client()
    with pytest.raises(ExpiredMetadataError):
        client.updater()
    before = {role.role: role.version for role in site.repository.status().roles}
    site.repository.publish()
    after = {role.role: role.version for role in site.repository.status().roles}
    assert client.updater().get_targetinfo("modules/append/1.0.0.wasm") is not None
    assert (after["timestamp"], after["snapshot"]) == (before["timestamp"] + 1, before["snapshot"] + 1)
    assert after["targets"] == before["targets"]  # 130 of its 180 days are left
    assert all(role.days_left > 0 for role in site.repository.status().roles)


def test_a_timestamp_says_when_it_was_made(site: Site) -> None:
    site.later(3)
    site.repository.publish()
    timestamp = site.client().updater()._trusted_set.timestamp
    assert issued_of(timestamp.unrecognized_fields) == site.now.timestamp()


def test_a_crash_between_any_two_files_leaves_the_old_or_the_new(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from waspi.fleet.repository import contents, draft, metadata_store  # noqa: PLC0415 - patched below
    from waspi.journal import durable  # noqa: PLC0415

    class Crash(BaseException):
        pass

    site.ship("1.0.0")
    site.add(version="2.0.0")
    site.repository.deploy("kitchen", "append", "2.0.0")
    saved = site.base / "saved"
    shutil.copytree(site.folder, saved)
    serials = []
    for survives in range(10):
        shutil.rmtree(site.folder)
        shutil.copytree(saved, site.folder)
        left = survives

        def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            durable.write_durably(path, data, mode=mode)

        for module in (contents, draft, metadata_store):
            monkeypatch.setattr(module, "write_durably", write)
        try:
            site.reopened().publish()
            done = True
        except Crash:
            done = False
        monkeypatch.undo()
        serials.append(site.client().deployment("kitchen").serial)
        again = site.reopened().publish()  # whatever was lost, it can be made up for
        assert site.client().deployment("kitchen").serial == 2
        assert again.timestamp >= 3
        if done:
            break
    assert serials == [1, 1, 1, 1, 2]


def test_a_rotated_key_signs_nothing_more(site: Site) -> None:
    site.ship("1.0.0")
    client = site.client()
    client.updater()
    for role in (Role.TIMESTAMP, Role.SNAPSHOT, Role.TARGETS):
        change = site.repository.rotate(role)
        assert change.missing == 0
        assert client.deployment("kitchen").serial == 1
    for name in ("timestamp-1", "snapshot-1", "targets-1"):
        (site.keys / f"{name}.key").unlink()
    site.ship("2.0.0")
    assert client.deployment("kitchen").serial == 2
    assert site.client().deployment("kitchen").serial == 2  # from the first root on, through all of them


def test_root_keys_are_replaced_by_a_threshold_of_offline_keys(site: Site, tmp_path: Path) -> None:
    site.ship("1.0.0")
    client = site.client()
    sticks = []
    for number in (1, 2, 3):
        stick = tmp_path / f"stick-{number}"
        stick.mkdir()
        for suffix in (".key", ".pub"):
            (site.keys / f"root-{number}{suffix}").rename(stick / f"root-{number}{suffix}")
        sticks.append(stick / f"root-{number}.key")
    root_ids = next(role.keys for role in site.repository.status().roles if role.role == "root")
    change = site.repository.rotate(Role.ROOT, replaced=root_ids[0])
    assert change.missing == 2  # the new key signs, but the old root asks for two of its own
    assert site.client().updater()._trusted_set.root.version == 1
    assert site.repository.status().pending_root is not None
    assert site.reopened(extra_keys=[sticks[0]]).sign_root().missing == 1
    assert site.reopened(extra_keys=[sticks[1]]).sign_root().missing == 0
    assert site.repository.status().pending_root is None
    assert client.updater()._trusted_set.root.version == 2
    with pytest.raises(RepositoryError, match="no root waits"):
        site.repository.sign_root()


def test_a_root_is_renewed_by_its_own_keys_and_the_status_says_when(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.ship("1.0.0")
    client = site.client()
    client.updater()
    before = site.repository.status().roles[0]
    assert before.role == "root"
    site.later(before.days_left - 20)
    site.repository.publish()
    write_status(site.repository.status())
    told = capsys.readouterr().out.splitlines()
    assert "(20 days, soon): waspi repo rotate --role root --threshold 2" in told[0]
    assert not any("soon" in line for line in told[1:])
    site.later(21)
    site.repository.publish()
    write_status(site.repository.status())
    assert ": waspi repo rotate --role root --threshold 2" in capsys.readouterr().out.splitlines()[0]
    client.now = site.now
    with pytest.raises(ExpiredMetadataError):
        client.updater()
    assert site.repository.rotate(Role.ROOT, threshold=2).missing == 0
    after = site.repository.status().roles[0]
    assert (after.keys, after.threshold) == (before.keys, before.threshold)
    assert after.days_left == pytest.approx(365, abs=1)
    assert client.deployment("kitchen").serial == 1


def test_a_crash_after_the_new_root_is_mended_by_publishing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from waspi.fleet.repository.publication import Publisher  # noqa: PLC0415

    site.ship("1.0.0")
    monkeypatch.setattr(Publisher, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        site.repository.rotate(Role.TARGETS)
    monkeypatch.undo()
    assert [role.role for role in site.repository.status().roles if role.outdated] == ["targets"]
    site.repository.publish()
    assert site.client().deployment("kitchen").serial == 1
    assert not any(role.outdated for role in site.repository.status().roles)


def test_a_missing_key_is_named(site: Site) -> None:
    (site.keys / "snapshot-1.key").unlink()
    site.add()
    with pytest.raises(KeyFileError, match="role snapshot"):
        site.repository.publish()


def test_damage_is_seen(site: Site) -> None:
    site.ship("1.0.0")
    (module,) = site.folder.rglob("*.wasm")
    module.write_bytes(b"evil")
    site.add(version="2.0.0")
    site.repository.publish()  # published long ago: devices refuse it by themselves
    path = site.folder / "metadata" / "2.targets.json"
    document = json.loads(path.read_bytes())
    document["signed"]["targets"] = {}
    path.write_text(json.dumps(document))
    timestamp = site.folder / "metadata" / "timestamp.json"
    timestamp.write_bytes(timestamp.read_bytes()[:-5])
    with pytest.raises(RepositoryError, match=r"timestamp\.json is damaged"):
        site.repository.publish()


@pytest.mark.parametrize("folder", [".", "keys"])
def test_keys_never_lie_in_the_public_folder(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UsageError, match="everybody may read"):
        Repository.init(tmp_path / "r", tmp_path / "r" / folder)


def test_init_does_not_touch_a_repository(site: Site) -> None:
    with pytest.raises(RepositoryError, match="already"):
        Repository.init(site.folder, site.base / "more")


def test_lifetimes_hold(tmp_path: Path) -> None:
    site = Site(tmp_path, lifetimes=Lifetimes(root=10, targets=5, snapshot=4, timestamp=1))
    expires = {role.role: role.expires - site.now for role in site.repository.status().roles}
    assert expires == {
        "root": timedelta(days=10),
        "targets": timedelta(days=5),
        "snapshot": timedelta(days=4),
        "timestamp": timedelta(days=1),
    }
