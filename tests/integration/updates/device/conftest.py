from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.updates.device.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Desk, broker and watcher; depots and agents are started by the test."""
    with Rig(tmp_path) as made:
        yield made
