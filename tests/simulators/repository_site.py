"""An operator's desk: a repository with its keys, in a folder of the test, by a clock that the test sets."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.simulators.repository_client import RepositoryClient
from waspi.fleet.repository.repository import Repository
from waspi.fleet.repository.settings import Lifetimes
from waspi.model.release import GoldenPair, Release

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
GOLDEN = (GoldenPair(b"in", b"in<---- This is your string"),)


class Site:
    """``repository`` in ``folder``; root keys 2 of 3."""

    def __init__(self, base: Path, *, lifetimes: Lifetimes | None = None, now: datetime = EPOCH) -> None:
        self.base = base
        self.now = now
        self.folder = base / "releases"
        self.keys = base / "keys"
        self.repository = Repository.init(self.folder, self.keys, lifetimes=lifetimes, clock=lambda: self.now)
        self._clients = 0

    def reopened(self, **options: object) -> Repository:
        """The repository, opened anew."""
        return Repository(self.folder, clock=lambda: self.now, **options)  # type: ignore[arg-type]

    def later(self, days: float) -> None:
        """Let time go by."""
        self.now += timedelta(days=days)

    def add(self, name: str = "append", version: str = "1.0.0", content: bytes | None = None) -> Release:
        """Put a release into the draft whose bytes need not be a module: who compiles it is not part of the test."""
        wasm = content if content is not None else f"{name} {version} ".encode() * 500
        release = Release(name, version, hashlib.sha256(wasm).hexdigest(), len(wasm), golden=GOLDEN)
        self.repository.add(release, wasm)
        return release

    def ship(self, version: str, *, name: str = "append", group: str = "kitchen", stage: float = 100.0) -> None:
        """Add, deploy and publish."""
        self.add(name, version)
        self.repository.deploy(group, name, version, stage=stage)
        self.repository.publish()

    def client(self) -> RepositoryClient:
        """A device that trusts the first root and has seen nothing so far."""
        self._clients += 1
        client = RepositoryClient(
            self.base / f"client-{self._clients}", self.folder, self.repository.root_bytes(), self.now
        )
        client.now = self.now
        return client
