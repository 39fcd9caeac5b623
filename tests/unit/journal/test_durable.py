from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from waspi.errors import StorageError
from waspi.journal.durable import remove_durably, remove_leftovers, rename_durably, write_durably


def test_writes_and_replaces_with_the_mode_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "state"
    write_durably(target, b"old", mode=0o640)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    write_durably(target, b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_syncs_the_file_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def seen_rename(source: Path, target: Path) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_rename)
    write_durably(tmp_path / "state", b"x")
    assert calls == ["file", "rename", "folder"]


def test_fault_10_a_disk_that_refuses_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "state"
    write_durably(target, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*state: File too large; check free space") as caught:
            write_durably(target, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        write_durably(tmp_path / "nowhere" / "state", b"")


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".waspi-state.123.tmp").write_bytes(b"half")
    (tmp_path / "state").write_bytes(b"whole")
    (tmp_path / "other.tmp").write_bytes(b"not ours")
    assert remove_leftovers(tmp_path) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.tmp", "state"]


def test_remove_and_rename(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"x")
    rename_durably(tmp_path / "a", tmp_path / "b")
    remove_durably(tmp_path / "b")
    remove_durably(tmp_path / "b")  # already gone: fine
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="cannot rename"):
        rename_durably(tmp_path / "a", tmp_path / "b")
