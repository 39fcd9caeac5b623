"""How fast the way to the depots is, by what came over it: no I/O, the times come in.

It decides two things. Ranges are asked for packed unless the way is fast, where packing and unpacking take longer than
what they save (2 ms for a range of 64 KiB). And a file's first window is small unless the way is known to be short: a
slow one would be full for a minute with what nobody may want any more.
"""

from __future__ import annotations

from typing import Final

from waspi.protocol.depot import ZLIB

NEAR_S: Final = 0.02
"""An answer within this comes over no modem and no satellite: one of 64 KiB takes a link of 25 Mbit/s so long."""
FAST_BYTES_S: Final = 4 * 1024 * 1024
TELLING_BYTES: Final = 8 * 1024
"""Of an answer whose time says something about the link's width."""


class AnswerPace:
    """What one updater has seen so far."""

    def __init__(self) -> None:
        self._near = False
        self._wide: bool | None = None

    def came(self, size: int, seconds: float) -> None:
        """An answer of ``size`` bytes came ``seconds`` after the request, or after the answer before it."""
        self._near |= seconds <= NEAR_S
        if size >= TELLING_BYTES:
            self._wide = size > FAST_BYTES_S * seconds

    @property
    def fast(self) -> bool:
        """Whether much gets through; until something large came, whether any answer came at once."""
        return self._near if self._wide is None else self._wide

    @property
    def accept(self) -> tuple[str, ...]:
        """The codings to ask for."""
        return () if self.fast else (ZLIB,)

    def first_window(self, most: int, careful: int) -> int:
        """How many ranges to ask for at once when a file begins: ``most``, or ``careful`` while nothing is known."""
        return most if self.fast else min(careful, most)
