"""FAULT 33 for the updater: whatever the disk kept when the power went, the next run brings the whole module."""

from __future__ import annotations

import random
from pathlib import Path

from tests.crash.faultfs import FaultFs
from tests.crash.power_cut import Disk, changes
from tests.integration.updates.device.updater_board import MODULE, STEP, Board, clear
from tests.simulators.updater_process import UpdaterRun
from waspi.updates.updater_messages import Fetched

SEED = 20_260_601


def test_fault_33_power_cut_after_every_change_of_the_updaters_files(tmp_path: Path) -> None:
    """Sectors and names that were not synced survive by chance; a file with its final name is whole all the same."""
    board = Board(tmp_path)
    log = tmp_path / "log"
    faults = FaultFs(board.folder, tmp_path, log=log)
    faults.disarm()
    recorded = UpdaterRun(board.site.folder, board.task, environment=faults.environment()).finish()
    assert recorded.of(Fetched)
    faults.close()
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure can be seen again
    disk = Disk()
    resumed = 0
    record = list(changes(log))
    for number, change in enumerate(record):
        disk.apply(change)
        clear(board.folder)
        disk.cut(chance, board.folder.resolve(), board.folder)
        where = f"seed {SEED}, cut after call {number} of {len(record)}: {change.kind} {change.path.name}"
        if board.fetched.exists():
            assert board.fetched.read_bytes() == MODULE, where
        after = board.run().finish()
        assert after.last_word is not None, where
        assert after.last_word.kind == "", f"{where}: {after.last_word.message}"
        assert after.of(Fetched), where
        assert board.fetched.read_bytes() == MODULE, where
        resumed += 0 < len(after.asked_for(".wasm")) < len(range(0, len(MODULE), STEP))
    assert resumed, "not one download was taken up"
