"""A repository's folder as a device's updater sees it; a hook may put other bytes in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError

from waspi.protocol.repository_path import is_repository_path
from waspi.updates.source import Piece, Range

Hook = Callable[[str, bytes], bytes]


def honest(_path: str, data: bytes) -> bytes:
    return data


class FolderSource:
    """Every range that was asked for is in ``asked``, by path."""

    def __init__(self, folder: Path, hook: Hook = honest) -> None:
        self._folder = folder
        self.hook = hook
        self.asked: list[tuple[str, Range]] = []

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        assert is_repository_path(path), path
        try:
            data = (self._folder / path).read_bytes()
        except FileNotFoundError as error:
            raise DownloadHTTPError(path, 404) from error
        data = self.hook(path, data)
        for each in wanted:
            self.asked.append((path, each))
            yield Piece(each.offset, len(data), data[each.offset : each.offset + each.length])
