"""A repository with one release, and a device that looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators.repository_site import Site
from tests.unit.updates.board import Board


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "desk")
    made.ship("1.0.0")
    return made


@pytest.fixture
def board(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(site, tmp_path, monkeypatch)
