"""Files that arrive in pieces, with every kind of interruption."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waspi.errors import StorageError
from waspi.updates.partial_file import PartialFile
from waspi.updates.source import Range, ranges_of

STEP = 1000
DATA = random.Random(3).randbytes(10_500)  # noqa: S311 - contents


def put(file: PartialFile, each: Range, data: bytes = DATA) -> None:
    file.put(each.offset, data[each.offset : each.offset + each.length])


def test_it_comes_together_in_any_order(tmp_path: Path) -> None:
    ranges = ranges_of(len(DATA), STEP)
    random.Random(5).shuffle(ranges)  # noqa: S311 - order
    with PartialFile(tmp_path / "x.part", len(DATA), STEP) as file:
        for each in ranges:
            put(file, each)
        assert file.missing == []
        file.finish(tmp_path / "x.wasm")
    assert (tmp_path / "x.wasm").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["x.wasm"]


def test_fault_21_cut_after_every_range_only_the_rest_is_missing(tmp_path: Path) -> None:
    ranges = ranges_of(len(DATA), STEP)
    for number, each in enumerate(ranges):
        with PartialFile(tmp_path / "x.part", len(DATA), STEP) as file:
            assert file.missing == ranges[number:]
            put(file, each)


def test_fault_20_ranges_that_nobody_asked_for_change_nothing(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "x.part", len(DATA), STEP) as file:
        put(file, Range(0, STEP))
        before = file.missing
        file.put(0, b"\0" * STEP)  # here already
        file.put(500, b"\0" * STEP)  # overlaps two
        file.put(20_000, b"\0" * STEP)  # beyond the end
        file.put(10_000, b"\0" * STEP)  # longer than the file's last range
        file.put(2000, b"\0" * (STEP - 1))  # too short
        assert file.missing == before
    assert (tmp_path / "x.part").stat().st_size <= len(DATA)
    assert (tmp_path / "x.part").read_bytes()[:STEP] == DATA[:STEP]


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sets(st.integers(0, 10)),
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 400)), max_size=5),
    st.one_of(st.none(), st.integers(0, 120)),
)
def test_fault_21_what_the_disk_lost_is_asked_for_again(
    tmp_path: Path, came: set[int], lost: list[tuple[int, int]], map_bytes: int | None
) -> None:
    """After a power cut any sectors may be zeros and the map may be cut; what is believed to be here is right."""
    ranges = ranges_of(len(DATA), STEP)
    path = tmp_path / "x.part"
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    with PartialFile(path, len(DATA), STEP) as file:
        for number in came:
            put(file, ranges[number])
    with path.open("r+b") as raw:
        for number, at in lost:
            if ranges[number].offset + at < path.stat().st_size:
                raw.seek(ranges[number].offset + at)
                raw.write(bytes(64))
    if map_bytes is not None:
        os.truncate(tmp_path / "x.part.map", min(map_bytes, (tmp_path / "x.part.map").stat().st_size))
    with PartialFile(path, len(DATA), STEP) as file:
        missing = file.missing
        there = path.read_bytes()
        for each in ranges:
            if each not in missing:
                assert there[each.offset : each.offset + each.length] == DATA[each.offset : each.offset + each.length]
        for each in missing:
            put(file, each)
        file.finish(tmp_path / "x.wasm")
    assert (tmp_path / "x.wasm").read_bytes() == DATA


def test_another_length_or_range_begins_anew(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "x.part", len(DATA), STEP) as file:
        put(file, Range(0, STEP))
    with PartialFile(tmp_path / "x.part", len(DATA), STEP * 2) as file:
        assert file.missing == ranges_of(len(DATA), STEP * 2)
    with PartialFile(tmp_path / "x.part", 700, STEP) as file:
        assert file.missing == [Range(0, 700)]


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check free space"):
        PartialFile(tmp_path / "nowhere" / "x.part", 10, 10)
    (tmp_path / "link").symlink_to("/dev/full")
    with pytest.raises(StorageError):
        PartialFile(tmp_path / "link", 10, 10)
