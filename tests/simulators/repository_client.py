"""A device's view of an update repository: python-tuf's own client on a folder, with a clock that is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from waspi.model.deployment import Deployment
from waspi.model.release import Release
from waspi.protocol.deployment_document import decode_deployment
from waspi.protocol.release_custom import release_of
from waspi.protocol.repository_path import deployment_target, is_repository_path, module_target


class FolderFetcher(FetcherInterface):
    """Gives files of a folder; ``hook`` may put others in their place, as somebody in the middle would."""

    def __init__(self, folder: Path, hook: Callable[[str, bytes], bytes] = lambda _, data: data) -> None:
        super().__init__()
        self._folder = folder
        self._hook = hook
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix("test://")
        self.asked.append(path)
        assert is_repository_path(path), path
        try:
            data = (self._folder / path).read_bytes()
        except FileNotFoundError as error:
            raise DownloadHTTPError(path, 404) from error
        data = self._hook(path, data)
        yield from (data[start : start + 4096] for start in range(0, len(data), 4096))


class RepositoryClient:
    """Keeps its trusted metadata in ``cache``, over as many updates as the test makes."""

    def __init__(self, cache: Path, folder: Path, root: bytes, now: datetime) -> None:
        self._cache = cache
        self._root = root
        self.folder = folder
        self.now = now
        self.hook: Callable[[str, bytes], bytes] = lambda _, data: data
        self.asked: list[str] = []
        (cache / "targets").mkdir(parents=True)

    def updater(self) -> Updater:
        """A client that has refreshed; raises what python-tuf raises."""
        fetcher = FolderFetcher(self.folder, self.hook)
        self.asked = fetcher.asked
        cache = str(self._cache)
        updater = Updater(
            cache, "test://metadata/", f"{cache}/targets", "test://targets/", fetcher=fetcher, bootstrap=self._root
        )
        updater._trusted_set.reference_time = self.now
        updater.refresh()
        return updater

    def deployment(self, group: str) -> Deployment:
        """What the group's devices are told."""
        return decode_deployment(self._target(deployment_target(group)))

    def release(self, name: str, version: str) -> tuple[Release, bytes]:
        """A release and its module."""
        target = module_target(name, version)
        info = self.updater().get_targetinfo(target)
        assert info is not None
        return release_of(target, info.length, info.hashes["sha256"], info.custom), self._target(target)

    def _target(self, target: str) -> bytes:
        updater = self.updater()
        info = updater.get_targetinfo(target)
        assert info is not None, target
        return Path(updater.download_target(info)).read_bytes()
