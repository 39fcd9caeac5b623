"""Which ranges to ask for next, and when to ask again: no I/O, the time comes in.

A range is asked for again when nothing at all has come for a while: on a slow link answers that are only late must
not be asked for twice. The window grows with every answer and is halved by a silence (after TCP's slow start).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from waspi.updates.source import Range

FIRST_WINDOW: Final = 4
FIRST_PATIENCE_S: Final = 8.0
LONGEST_PATIENCE_S: Final = 60.0
SILENCES: Final = 6
"""So many in a row, and the source is given up: about three minutes."""


class RangeWindow:
    """The ranges of one file that are still to come."""

    def __init__(self, wanted: Iterable[Range], first: int, most: int, now: float) -> None:
        """Ask for ``first`` ranges at once, in time for ``most``."""
        self._waiting = deque(wanted)
        self._asked: dict[Range, None] = {}
        self._later: dict[Range, float] = {}
        self._most = most
        self._window = min(first, most)
        self._patience = FIRST_PATIENCE_S
        self._silent_since = now
        self.silences = 0
        """How often in a row nothing came in time."""

    @property
    def done(self) -> bool:
        """Whether everything has come."""
        return not (self._waiting or self._asked or self._later)

    @property
    def given_up(self) -> bool:
        """Whether the silence has lasted too long."""
        return self.silences >= SILENCES

    def deadline(self) -> float:
        """When :meth:`ask` wants to be called although nothing came."""
        silence = self._silent_since + self._patience if self._asked else float("inf")
        return min(silence, min(self._later.values(), default=float("inf")))

    def ask(self, now: float) -> list[Range]:
        """The ranges to ask for now."""
        if self._asked and now >= self._silent_since + self._patience:
            self.silences += 1
            self._patience = min(self._patience * 2, LONGEST_PATIENCE_S)
            self._window = max(1, self._window // 2)
            self._waiting.extendleft(reversed(self._asked))
            self._asked.clear()
            self._silent_since = now
        for each in [each for each, at in self._later.items() if now >= at]:
            del self._later[each]
            self._waiting.appendleft(each)
        if not self._asked:
            self._silent_since = now
        asked = []
        while self._waiting and len(self._asked) + len(self._later) < self._window:
            each = self._waiting.popleft()
            self._asked[each] = None
            asked.append(each)
        return asked

    def take(self, offset: int, now: float) -> Range | None:
        """The range at ``offset`` came: which one it is, or ``None`` when nobody waits for it (any more)."""
        found = next((each for each in (*self._asked, *self._later, *self._waiting) if each.offset == offset), None)
        if found is None:
            return None
        self._asked.pop(found, None)
        self._later.pop(found, None)
        if found in self._waiting:  # it was late, not lost
            self._waiting.remove(found)
        self._silent_since = now
        self.silences = 0
        self._patience = max(FIRST_PATIENCE_S, self._patience / 2)
        self._window = min(self._window + 1, self._most)
        return found

    def put_off(self, offset: int, now: float, wait_s: float) -> None:
        """The source is busy: ask for the range at ``offset`` again after ``wait_s``."""
        found = next((each for each in self._asked if each.offset == offset), None)
        if found is not None:
            del self._asked[found]
            self._later[found] = now + wait_s
            self._window = max(1, self._window // 2)
            self._silent_since = now
