"""Rigs for the sandbox's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.guests.conftest import guests  # noqa: F401 - a fixture: builds the guests once
from waspi.sandbox.settings import ModuleBounds, PoolSettings

from .rig import FAKE, Rig, children, open_fds, put_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Make rigs; each is closed after the test, and must leave neither descriptor nor process behind."""
    fds, processes = open_fds(), children()
    made: list[Rig] = []

    def make(settings: PoolSettings | None = None, **changes: int) -> Rig:
        made.append(Rig(tmp_path / f"rig-{len(made)}", settings or PoolSettings(size=1), **changes))
        return made[-1]

    yield make
    for rig in made:
        rig.__exit__()
    assert open_fds() == fds
    assert children() == processes


@pytest.fixture
def fake(rigs: Callable[..., Rig]) -> Callable[..., tuple[Rig, str]]:
    """Make a rig with the fake worker, and a module that is already compiled for it."""

    def make(way: str = "-", **settings: object) -> tuple[Rig, str]:
        chosen: dict[str, Any] = {"size": 1, "worker_command": (*FAKE, way), **settings}
        rig = rigs(PoolSettings(**chosen))
        digest = rig.cache.put(b"a module")
        put_artifact(rig.cache, digest, b"its artifact")
        return rig, digest

    return make


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One rig with one real worker for a whole file: what one guest leaves behind meets the next."""
    with Rig(tmp_path_factory.mktemp("cell"), PoolSettings(size=1, bounds=ModuleBounds(compile_ms=5_000))) as rig:
        yield rig
