"""The power goes at any moment: what was synced is there, what was not may be there in part. Nothing told is lost.

One life is recorded, call by call. From each prefix of the record a state of the disk is built (unsynced sectors and
names survive by chance), a new life starts on it, and 1-5 of FAULTS must hold for both lives together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.journal.lives import check, lives
from tests.crash.power_cut import Change, Disk, changes

JOBS = 16
SEED = 20_240_601


@pytest.mark.parametrize("durable", [True, False], ids=["full", "relaxed"])
def test_fault_06_power_cut_at_every_write(
    tmp_path: Path, record_property: Callable[[str, object], None], *, durable: bool
) -> None:
    """With relaxed syncs the last commits may be lost, but the journal itself is sound."""
    log = tmp_path / "log"
    notes = tmp_path / "first.notes"
    with lives(tmp_path, log=log, notes=notes) as world:
        first = world.root / "first"
        first.mkdir()
        assert world.live(first, JOBS, notes=notes, durable=durable) == 0
        record = list(changes(log))
        print(f"seed {SEED}, {len(record)} calls")
        chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure can be seen again
        disk = Disk()
        told = ""
        for number, change in enumerate(record):
            if change.kind == "N":
                told += change.data.decode()
                continue  # the cut before the next change comes after this note
            disk.apply(change)
            folder = world.root / f"cut-{number}"
            folder.mkdir()
            disk.cut(chance, first, folder)
            # A note that was written in the meantime was told to the world before the next change of the disk.
            upcoming = _notes_before_next_change(record, number)
            mine = tmp_path / f"cut-{number}.notes"
            mine.write_text(told + upcoming)
            assert world.live(folder, JOBS, notes=mine, durable=durable) == 0, f"seed {SEED}, cut after call {number}"
            if not durable:
                assert "damage" not in mine.read_text()
                continue
            check(folder, JOBS, notes=mine.read_text().splitlines(), cut=number)
        record_property("cuts", len(record))


def _notes_before_next_change(record: list[Change], number: int) -> str:
    told = ""
    for change in record[number + 1 :]:
        if change.kind != "N":
            break
        told += change.data.decode()
    return told
