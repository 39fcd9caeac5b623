"""A device's folder for updates, and errands for its updater; no agent."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.simulators.repository_site import Site
from tests.simulators.updater_process import UpdaterRun, honestly
from waspi.updates.updater_messages import CheckRequest

STEP = 8 * 1024
SIZE = 10 * STEP - 100
MODULE = random.Random(9).randbytes(SIZE)  # noqa: S311 - contents
DIGEST = hashlib.sha256(MODULE).hexdigest()


class Board:
    """A device's folder, and errands for its updater."""

    def __init__(self, base: Path) -> None:
        self.site = Site(base / "desk", now=datetime.now(UTC))
        self.site.add(content=MODULE)
        self.site.repository.deploy("kitchen", "append", "1.0.0")
        self.site.repository.publish()
        self.folder = base / "updates"
        self.folder.mkdir()
        self.scratch = base
        root = base / "root.json"
        root.write_bytes(self.site.repository.root_bytes())
        self.task = CheckRequest(
            device="pi-1",
            groups=("kitchen",),
            url="",
            ca="",
            root=str(root),
            folder=str(self.folder),
            now=datetime.now(UTC).timestamp(),
            room=1_000_000,
            range_bytes=STEP,
            window=4,
        )

    def run(self, answer: object = honestly, **changes: object) -> UpdaterRun:
        return UpdaterRun(self.site.folder, replace(self.task, **changes), answer)  # type: ignore[arg-type]

    @property
    def fetched(self) -> Path:
        return self.folder / "download" / f"{DIGEST}.wasm"


def clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
