"""The record is believed within one boot of the kernel, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from waspi.errors import StorageError
from waspi.journal.start_record import StartRecord


def reopened(path: Path, boot_id: str = "boot-1") -> StartRecord:
    record = StartRecord(path, boot_id)
    record.close()
    return record


def test_a_noted_job_has_started_and_another_has_not(tmp_path: Path) -> None:
    record = StartRecord(tmp_path / "started", "boot-1")
    record.note("one")
    record.close()
    again = reopened(tmp_path / "started")
    assert not again.never_started("one")
    assert again.never_started("two")


def test_nothing_is_certain_after_another_boot(tmp_path: Path) -> None:
    record = StartRecord(tmp_path / "started", "boot-1")
    record.note("one")
    record.close()
    assert not reopened(tmp_path / "started", "boot-2").never_started("two")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"boot-1"])
def test_nothing_is_certain_without_a_whole_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "started"
    if content is not None:
        path.write_bytes(content)
    record = reopened(path)
    assert not record.never_started("one") or content == b"boot-1"


def test_a_machine_without_boot_id_is_never_believed(tmp_path: Path) -> None:
    StartRecord(tmp_path / "started", "").close()
    assert not reopened(tmp_path / "started", "").never_started("one")


def test_forgetting_keeps_those_that_run(tmp_path: Path) -> None:
    record = StartRecord(tmp_path / "started", "boot-1")
    for number in range(20_000):
        record.note(f"job-with-a-name-{number}")
    assert record.full
    record.forget_all_but(["job-with-a-name-7"])
    assert not record.full
    record.note("after")
    record.close()
    again = reopened(tmp_path / "started")
    assert [again.never_started(each) for each in ("job-with-a-name-7", "after", "job-with-a-name-8")] == [
        False,
        False,
        True,
    ]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="started"):
        StartRecord(tmp_path / "missing" / "started", "boot-1")


def test_an_agent_that_dies_before_it_has_settled_anything_leaves_what_it_found(tmp_path: Path) -> None:
    record = StartRecord(tmp_path / "started", "boot-1")
    record.note("one")
    record.close()
    reopened(tmp_path / "started")
    assert not reopened(tmp_path / "started").never_started("one")
    reopened(tmp_path / "started", "boot-2")
    assert not reopened(tmp_path / "started", "boot-2").never_started("one")


def test_a_file_that_takes_only_a_part_of_a_line_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = StartRecord(tmp_path / "started", "boot-1")
    record.note("one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    record.note("two")
    monkeypatch.undo()
    record.note("three")
    record.close()
    assert not reopened(tmp_path / "started").never_started("two")
