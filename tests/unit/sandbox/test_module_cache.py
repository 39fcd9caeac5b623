"""The module cache on a real folder."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.sandbox.rig import put_artifact, settle
from waspi.errors import StorageError, UnknownModuleError
from waspi.sandbox.cache import RECENCY_S, ModuleCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from waspi.sandbox.background import Background


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def content(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def test_module_is_found_by_its_hash(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path / "new" / "folder", 1000)
    digest = cache.put(b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest()
    assert cache.has(digest)
    assert content(cache.open_module(digest)) == b"bytes"
    assert cache.put(b"bytes") == digest
    assert cache.digests() == (digest,)
    assert not cache.has("0" * 64)
    with pytest.raises(UnknownModuleError):
        cache.open_module("0" * 64)


def test_all_is_there_after_a_restart(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 1000)
    one, two = cache.put(b"one"), cache.put(b"two")
    put_artifact(cache, one, b"native code")
    again = ModuleCache(tmp_path, 1000)
    assert set(again.digests()) == {one, two}
    assert again._bytes == cache._bytes == 6 + len(b"native code")
    assert again.has(two)
    fd = again.open_artifact(one)
    assert fd is not None
    assert content(fd) == b"native code"
    assert again.open_artifact(two) is None


def test_least_recently_used_goes_first_and_takes_its_artifact_along(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 30)
    first, second = cache.put(b"1" * 10), cache.put(b"2" * 10)
    put_artifact(cache, first, b"a" * 5)
    os.close(cache.open_module(first))
    third = cache.put(b"3" * 10)
    assert [cache.has(digest) for digest in (first, second, third)] == [True, False, True]
    cache.put(b"4" * 15)
    assert not cache.has(first)
    assert not list(tmp_path.glob("*.aot"))
    assert cache._bytes <= 30
    assert cache._bytes == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_pinned_modules_stay(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 20)
    digest = cache.put(b"p" * 10)
    cache.pin(digest)
    cache.pin(digest)
    cache.unpin(digest)
    cache.put(b"q" * 10)
    cache.put(b"r" * 10)
    assert cache.has(digest)
    with pytest.raises(StorageError, match="full"):
        cache.put(b"s" * 11)
    assert cache.has(digest)
    cache.unpin(digest)
    cache.put(b"t" * 20)
    assert not cache.has(digest)


def test_larger_than_the_cache_is_refused_and_evicts_nothing(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 20)
    digest = cache.put(b"p" * 10)
    with pytest.raises(StorageError, match="do not fit"):
        cache.put(b"q" * 21)
    assert cache.has(digest)


def test_room_for_an_artifact_never_costs_its_own_module(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 20)
    digest = cache.put(b"p" * 10)
    with pytest.raises(StorageError, match="full"):
        put_artifact(cache, digest, b"a" * 15)
    assert cache.has(digest)
    put_artifact(cache, digest, b"a" * 10)
    put_artifact(cache, digest, b"b" * 10)
    assert cache._bytes == 20
    with pytest.raises(UnknownModuleError):
        put_artifact(cache, "0" * 64, b"a")


@pytest.mark.parametrize("damage", [b"wrong byte", b"", b"tru"])
def test_damaged_module_is_seen_and_dropped(tmp_path: Path, damage: bytes) -> None:
    digest = ModuleCache(tmp_path, 1000).put(b"true bytes")
    (tmp_path / f"{digest}.wasm").write_bytes(damage)
    cache = ModuleCache(tmp_path, 1000)
    assert cache.has(digest) == bool(damage)
    assert not cache.is_intact(digest)
    cache.drop(digest)
    assert not cache.has(digest)
    assert cache._bytes == 0
    assert cache.put(b"true bytes") == digest
    assert content(cache.open_module(digest)) == b"true bytes"


def test_pushing_again_repairs_a_damaged_module(tmp_path: Path) -> None:
    digest = ModuleCache(tmp_path, 1000).put(b"true bytes")
    (tmp_path / f"{digest}.wasm").write_bytes(b"false byte")
    cache = ModuleCache(tmp_path, 1000)
    assert cache.put(b"true bytes") == digest
    assert content(cache.open_module(digest)) == b"true bytes"


def test_module_that_vanished_is_told(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 1000)
    digest = cache.put(b"true bytes")
    (tmp_path / f"{digest}.wasm").unlink()
    with pytest.raises(StorageError, match="push it again"):
        cache.open_module(digest)
    assert not cache.has(digest)


def test_artifact_of_the_wrong_length_or_gone_counts_as_none(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 1000)
    digest = cache.put(b"module")
    path = tmp_path / f"{digest}.aot"
    for damage in (lambda: path.write_bytes(b"short"), path.unlink):
        put_artifact(cache, digest, b"native code")
        damage()
        assert cache.open_artifact(digest) is None
        assert not cache.has_artifact(digest)
        assert not path.exists()
        assert cache._bytes == len(b"module")


def test_leftovers_are_cleared_and_strangers_left_alone(tmp_path: Path) -> None:
    digest = ModuleCache(tmp_path, 1000).put(b"module")
    orphan = tmp_path / f"{'ab' * 32}.aot"
    orphan.write_bytes(b"artifact without a module")
    interrupted = tmp_path / f".waspi-{digest}.aot.123.tmp"
    interrupted.write_bytes(b"half")
    stranger = tmp_path / "README.txt"
    stranger.write_bytes(b"not ours")
    link = tmp_path / f"{'cd' * 32}.wasm"
    link.symlink_to("/etc/passwd")
    cache = ModuleCache(tmp_path, 1000)
    assert not orphan.exists()
    assert not interrupted.exists()
    assert stranger.exists()
    assert cache.digests() == (digest,)


def test_order_of_use_survives_a_restart_without_a_write_per_use(tmp_path: Path) -> None:
    clock = Clock()
    cache = ModuleCache(tmp_path, 1000, clock=clock)
    old, new = cache.put(b"old"), cache.put(b"new")
    clock.now += RECENCY_S - 1
    stamp = (tmp_path / f"{old}.wasm").stat().st_mtime
    cache.touch(old)
    assert (tmp_path / f"{old}.wasm").stat().st_mtime == stamp
    assert cache.digests() == (new, old)
    for digest, when in ((old, 2_000_000_000.0), (new, 1_900_000_000.0)):
        clock.now = when
        cache.touch(digest)
    assert ModuleCache(tmp_path, 1000).digests() == (new, old)


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="module cache"):
        ModuleCache(tmp_path / "file", 1000)


def store(cache: ModuleCache, *modules: bytes) -> list[tuple[str, StorageError | None]]:
    """Store them all at once in the background; what was told of each."""
    told: list[tuple[str, StorageError | None]] = []

    def work(background: Background, then: Callable[[object], None]) -> None:
        def one(digest: str, error: StorageError | None) -> None:
            told.append((digest, error))
            if len(told) == len(modules):
                then(None)

        for module in modules:
            cache.store(module, background, one)

    settle(work)
    return told


def test_a_module_is_stored_in_the_background(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 20)
    ((digest, error),) = store(cache, b"bytes")
    assert (digest, error) == (hashlib.sha256(b"bytes").hexdigest(), None)
    assert content(cache.open_module(digest)) == b"bytes"
    twice = store(cache, b"bytes", b"others", b"others")
    assert [error for _, error in twice] == [None] * 3
    assert cache._bytes == len(b"bytesothers")
    assert [file.name for file in sorted(tmp_path.iterdir())] == sorted(f"{each}.wasm" for each in cache.digests())


def test_what_is_under_way_to_the_disk_counts(tmp_path: Path) -> None:
    cache = ModuleCache(tmp_path, 20)
    told = store(cache, b"a" * 12, b"b" * 12, b"c" * 21)
    assert [error is None for _, error in told] in ([True, False, False], [False, False, True], [False, True, False])
    assert sum(error is None for _, error in told) == 1
    assert cache._bytes == 12


def test_a_disk_that_refuses_a_module_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = ModuleCache(folder, 1000)
    folder.rmdir()
    ((_, error),) = store(cache, b"bytes")
    assert isinstance(error, StorageError)
    assert cache._bytes == 0
    assert cache.digests() == ()
    folder.mkdir()
    digest = cache.put(b"bytes")
    (folder / f"{digest}.wasm").rename(tmp_path / "kept")
    folder.rmdir()
    with pytest.raises(StorageError):
        put_artifact(cache, digest, b"artifact")
    assert cache._bytes == len(b"bytes")
    assert not cache.has_artifact(digest)
    assert not cache._pins
