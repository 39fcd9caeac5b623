"""Where files of the update repository come from: the port that MQTT and https stand behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol


class Range(NamedTuple):
    """A part of a file."""

    offset: int
    length: int
    """Bytes; what is beyond the end of the file does not come."""


class Piece(NamedTuple):
    """What came of a file."""

    offset: int
    total: int
    """Bytes of the whole file, as its sender says."""
    data: bytes


class Source(Protocol):
    """Somebody who has the repository's files; nothing that they send is trusted."""

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        """Each wanted range of the file at ``path``, in any order, whole up to the end of the file.

        Raises :class:`tuf.api.exceptions.DownloadError`; ``DownloadHTTPError`` with status 404 where there is no such
        file.
        """


def ranges_of(length: int, range_bytes: int, start: int = 0) -> list[Range]:
    """A file of ``length`` bytes from ``start`` on, cut into ranges."""
    return [Range(at, min(range_bytes, length - at)) for at in range(start, length, range_bytes)]
