"""Where files of the update repository come from: the port that MQTT and https stand behind."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple, Protocol

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

from waspi.protocol.depot import MAX_FILE

_CHANGED: Final = 3
"""A file that changes so often while it is read is not read."""


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
        """Each wanted range of the file at ``path`` (names of roles in it are quoted), in any order.

        A range is whole up to the end of the file.

        Raises :class:`tuf.api.exceptions.DownloadError`; ``DownloadHTTPError`` with status 404 where there is no such
        file.
        """


def ranges_of(length: int, range_bytes: int, start: int = 0) -> list[Range]:
    """A file of ``length`` bytes from ``start`` on, cut into ranges."""
    return [Range(at, min(range_bytes, length - at)) for at in range(start, length, range_bytes)]


class SourceFetcher(FetcherInterface):
    """Fetches metadata; a URL is the path of a file in the repository."""

    def __init__(self, source: Source, range_bytes: int) -> None:
        self._source = source
        self._range_bytes = range_bytes

    def _fetch(self, url: str) -> Iterator[bytes]:
        """The port's one abstract method; python-tuf itself calls :meth:`download_bytes` and :meth:`download_file`."""
        yield self._whole(url, MAX_FILE)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """The file at ``url`` in memory: only metadata comes this way, and python-tuf bounds that.

        Raises :class:`DownloadLengthMismatchError` as soon as its sender says that it is longer than ``max_length``
        bytes, before the rest is asked for, and the errors of :meth:`Source.pieces`.
        """
        yield io.BytesIO(self._whole(url, max_length))

    def _whole(self, path: str, max_length: int) -> bytes:
        for _ in range(_CHANGED):
            first = next(iter(self._source.pieces(path, [Range(0, self._range_bytes)])))
            if first.total > max_length:
                raise DownloadLengthMismatchError(f"{path} has {first.total} bytes: {max_length} are allowed")
            content = bytearray(first.total)
            content[: len(first.data)] = first.data
            rest = ranges_of(first.total, self._range_bytes, start=len(first.data))
            for piece in self._source.pieces(path, rest) if rest else ():
                if piece.total != first.total:
                    break
                content[piece.offset : piece.offset + len(piece.data)] = piece.data
            else:
                return bytes(content)
        raise DownloadError(f"{path} changes its length while it is read")
