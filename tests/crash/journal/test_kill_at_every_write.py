"""FAULTS 1-6: the agent is killed at every write of the journal in turn, and 1-5 hold each time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.faultfs import Mode
from tests.crash.journal.lives import Lives, check, killed, lives, notes_of

JOBS = 8


def finish_and_check(world: Lives, folder: Path, at: int, *, most_runs: int = 2) -> None:
    world.faults.disarm()
    status = world.live(folder, JOBS)
    assert status == 0, f"the life after the fault at write {at} ended with {status}"
    check(folder, JOBS, notes=notes_of(folder).read_text().splitlines(), cut=at, most_runs=most_runs)


def a_folder(world: Lives, name: str) -> Path:
    folder = world.root / name
    folder.mkdir()
    return folder


def writes_of_one_life(world: Lives) -> int:
    folder = a_folder(world, "count")
    world.faults.disarm()
    assert world.live(folder, JOBS) == 0
    total = world.faults.count
    check(folder, JOBS, notes=notes_of(folder).read_text().splitlines(), most_runs=1)
    assert total > 50, "the shim sees hardly any writes; is it loaded?"
    return total


@pytest.mark.parametrize("mode", [Mode.KILL, Mode.TORN, Mode.KILL_AFTER])
def test_fault_06_killed_at_every_write(
    tmp_path: Path, mode: Mode, record_property: Callable[[str, object], None]
) -> None:
    with lives(tmp_path) as world:
        total = writes_of_one_life(world)
        kills = 0
        for at in range(1, total + 1):
            folder = a_folder(world, f"at-{at}")
            world.faults.arm(mode, at)
            kills += killed(world.live(folder, JOBS))
            finish_and_check(world, folder, at)
        record_property("writes tried", total)
        record_property("kills", kills)
        # The number of writes differs a little from life to life (what shares a commit with what).
        assert kills >= total * 0.9


def test_fault_06_killed_again_and_again_in_recovery(tmp_path: Path) -> None:
    """Each life is killed a few writes after the last one's place, so that recovery itself is interrupted."""
    with lives(tmp_path) as world:
        total = writes_of_one_life(world)
        for first in range(5, total, 11):
            folder = a_folder(world, f"at-{first}")
            world.faults.arm(Mode.KILL, first)
            world.live(folder, JOBS)
            for again in (3, 7, 12, 20):
                world.faults.arm(Mode.KILL_AFTER, again)
                world.live(folder, JOBS)
            finish_and_check(world, folder, first, most_runs=6)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.__getitem__)
def test_fault_10_the_disk_fails_at_every_write(tmp_path: Path, error: int) -> None:
    """Four writes in a row fail, at each place in turn: no life dies of it once it runs, and nothing is lost."""
    with lives(tmp_path) as world:
        total = writes_of_one_life(world)
        degraded = 0
        for at in range(1, total + 1):
            folder = a_folder(world, f"at-{at}")
            world.faults.arm(Mode.FAIL, at, error=error, length=4)
            status = world.live(folder, JOBS)
            # 75: the disk failed while the journal was opened, or under a read; systemd starts the service again.
            assert status == 0 or os.waitstatus_to_exitcode(status) == 75
            finish_and_check(world, folder, at)
            degraded += "degraded" in notes_of(folder).read_text()
        assert degraded > total / 2


def test_fault_06_killed_while_a_damaged_journal_is_set_aside(tmp_path: Path) -> None:
    """A new journal in the end, the damaged one kept as it was, and no old log played into the new one."""
    garbage = b"no database " * 2000
    with lives(tmp_path) as world:
        for at in range(1, 31):
            folder = a_folder(world, f"at-{at}")
            (folder / "journal.db").write_bytes(garbage)
            (folder / "journal.db-wal").write_bytes(garbage)
            world.faults.arm(Mode.KILL, at)
            assert killed(world.live(folder, JOBS))
            world.faults.disarm()
            assert world.live(folder, JOBS) == 0
            notes = notes_of(folder).read_text().splitlines()
            assert len([line for line in notes if line.startswith("damage")]) <= 2
            check(folder, JOBS, notes=[line for line in notes if not line.startswith("damage")], cut=at, exact=False)
            assert (folder / "journal-damaged-1.db").read_bytes() == garbage
            assert not (folder / "journal-damaged-2.db").exists()
