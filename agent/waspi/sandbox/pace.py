"""How long modules run as a rule: how many of their tasks may stand in one worker's line."""

from __future__ import annotations

from typing import Final

_LINE: Final = 8
"""Tasks that a worker has at once, at most."""
_LINE_US: Final = 4000.0
"""Microseconds that they may take together."""
_REMEMBERED: Final = 64
"""Modules whose pace is known."""


class Pace:
    """The longest run of a module counts, and is forgotten slowly."""

    def __init__(self) -> None:
        self._us: dict[str, float] = {}
        self._lines: dict[str, int] = {}

    def note(self, digest: str, run_us: int) -> None:
        """A run of that module took so many microseconds."""
        before = self._us.get(digest)
        if before is None:
            if len(self._us) >= _REMEMBERED:
                self.forget(next(iter(self._us)))
            before = 0.0
        us = before + (run_us - before) / 8
        us = max(us, run_us)
        self._us[digest] = us
        self._lines[digest] = _LINE if us * _LINE <= _LINE_US else max(1, int(_LINE_US / us))

    def forget(self, digest: str) -> None:
        """One of its runs takes longer than was thought."""
        self._us.pop(digest, None)
        self._lines.pop(digest, None)

    def line(self, digest: str) -> int:
        """How many tasks a worker may have if the last of them is of that module: 1 as long as nothing is known."""
        return self._lines.get(digest, 1)
