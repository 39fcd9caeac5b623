"""Python's side of faultfs.c: build it, arm it, read its count. For any child process, the whole agent included.

faults = FaultFs(tmp_path / "state", tmp_path)
child = subprocess.Popen([...], env=os.environ | faults.environment())
faults.arm(Mode.KILL, at=17)      # counted from now on, over all processes that have the environment
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
import subprocess
import tempfile
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("faultfs.c")
_CONTROL = struct.Struct("<QQQIi")  # count, at, length, mode, error: `struct control` in faultfs.c


class Mode(IntEnum):
    """What happens at the call."""

    COUNT = 0
    KILL = 1
    """SIGKILL before it."""
    TORN = 2
    """SIGKILL after half of the bytes."""
    FAIL = 3
    """It returns an error, and so do the next ``length - 1``."""
    KILL_AFTER = 4
    """SIGKILL right after it."""


@functools.cache
def library() -> Path:
    """The shim, compiled for this machine once per run of the tests."""
    target = Path(tempfile.mkdtemp(prefix="faultfs-")) / "faultfs.so"
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", target, SOURCE, "-lpthread"], check=True)
    return target


class FaultFs:
    """Faults in what a process tree does to the files under one folder."""

    def __init__(
        self, folder: Path, scratch: Path, *, log: Path | None = None, notes: Path | None = None, lazy: bool = False
    ) -> None:
        """Watch ``folder``; ``scratch`` (outside of it) gets the control block.

        ``log``: where each change is recorded for :mod:`tests.crash.power_cut`. ``notes``: a file whose writes are
        recorded as well, but neither counted nor failed: what the process told the world. ``lazy``: syncs are counted
        and may fail but are not done; a process that is killed cannot tell, and they take most of the time.
        """
        self._lazy = lazy
        self._folder = folder.resolve()
        self._log = log
        self._notes = notes
        self._block = scratch.resolve() / "faultfs-control"
        self._block.write_bytes(bytes(mmap.PAGESIZE))
        with self._block.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def environment(self) -> dict[str, str]:
        """Variables for the child, to be added to its environment."""
        variables = {
            "LD_PRELOAD": str(library()),
            "FAULTFS_CONTROL": str(self._block),
            "FAULTFS_DIR": str(self._folder),
        }
        if self._log is not None:
            variables["FAULTFS_LOG"] = str(self._log)
        if self._notes is not None:
            variables["FAULTFS_NOTES"] = str(self._notes.resolve())
        if self._lazy:
            variables["FAULTFS_LAZY"] = "1"
        return variables

    def arm(self, mode: Mode, at: int = 0, *, error: int = 0, length: int = 1) -> None:
        """Count from 0 again and act at the ``at``-th change (1 is the first). ``error``: an ``errno`` number."""
        _CONTROL.pack_into(self._memory, 0, 0, at, length, mode, error)

    def disarm(self) -> None:
        """Only count, from 0."""
        self.arm(Mode.COUNT)

    @property
    def count(self) -> int:
        """Changes since it was armed."""
        return int(_CONTROL.unpack_from(self._memory)[0])

    def close(self) -> None:
        """Give the control block back."""
        self._memory.close()
        os.unlink(self._block)  # noqa: PTH108 - symmetrical to the mapping
