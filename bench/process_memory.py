"""What of the machine's memory is a process's own (proc(5), ``/proc/PID/smaps``)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

KIB_PER_MIB: Final = 1024
_STEADY: Final = 4
"""Readings in a row that must agree."""
_EVERY_S: Final = 0.1
_LONGEST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """MiB of one process."""

    pss: float
    """Its share, pages that several processes map divided among them: the kernel's own count."""
    alone: float
    """The same as if no other Python ran: pages of the interpreter and its libraries counted whole. The bench is a
    Python process, too, and on a board there may be none but the agent."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read it now; raises ``OSError`` when there is no such process."""
        share = whole = 0
        ours = False
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            key, _, rest = line.partition(" ")
            if not key.endswith(":"):  # the head of a mapping: its last field is the file
                ours = "python" in rest
            elif key == "Pss:":
                share += (pss := int(rest.split()[0]))
                whole += 0 if ours else pss
            elif key == "Rss:" and ours:
                whole += int(rest.split()[0])
        return cls(share / KIB_PER_MIB, whole / KIB_PER_MIB)

    @classmethod
    def settled(cls, pid: int) -> Self:
        """Read it until it stays the same, or for some seconds."""
        end = time.monotonic() + _LONGEST_S
        last, same = cls.of(pid), 1
        while same < _STEADY and time.monotonic() < end:
            time.sleep(_EVERY_S)
            now = cls.of(pid)
            same = same + 1 if abs(now.pss - last.pss) < 1 / 64 else 1
            last = now
        return last

    def __add__(self, other: ProcessMemory) -> ProcessMemory:
        """Both together."""
        return ProcessMemory(self.pss + other.pss, self.alone + other.alone)
