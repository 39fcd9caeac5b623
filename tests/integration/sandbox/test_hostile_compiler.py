"""A compiler that its module has taken over: nothing of it reaches another module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waspi.model.state import JobState
from waspi.sandbox.settings import PoolSettings

from .rig import COMPILER, FAKE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .rig import Rig

OTHER_MODULE = b"a module of somebody else"
"""As in the fake compiler."""


@pytest.mark.parametrize("way", ["other-module", "twice", "unasked", "noise", "kills"])
def test_no_artifact_reaches_another_module(rigs: Callable[..., Rig], way: str) -> None:
    rig = rigs(PoolSettings(size=1, worker_command=(*FAKE, "-"), compiler_command=(*COMPILER, way)))
    hostile, victim = rig.cache.put(b"a module that breaks out"), rig.cache.put(OTHER_MODULE)
    done = rig.run(hostile, b"x")
    assert not rig.cache.has_artifact(victim)
    assert done.state is (JobState.SUCCEEDED if way == "twice" else JobState.FAILED)
    assert rig.cache.has_artifact(hostile) is (way == "twice")
    if done.error is not None:
        assert done.error.kind == "compile"
        again = rig.run(hostile, b"x")  # and it is not compiled again for each job
        assert again.error == done.error


def test_an_artifact_of_another_module_under_its_own_name_is_refused_by_the_worker(
    rigs: Callable[..., Rig], guests: Path
) -> None:
    honest = rigs(PoolSettings(size=1))
    victim = honest.cache.put((guests / "append-wat.wasm").read_bytes())
    honest.run(victim, b"x")
    artifact = honest.cache._artifact_path(victim)
    rig = rigs(PoolSettings(size=1, compiler_command=(*COMPILER, str(artifact))))
    done = rig.run(rig.cache.put((guests / "append-c.wasm").read_bytes()), b"x")
    assert done.error is not None
    assert (done.state, done.error.kind) == (JobState.FAILED, "artifact")
    assert "made from another module" in done.error.message
    assert not done.blames_module


def test_a_damaged_module_is_not_the_guests_fault(rigs: Callable[..., Rig], guests: Path) -> None:
    rig = rigs(PoolSettings(size=1))
    digest = rig.cache.put((guests / "append-wat.wasm").read_bytes())
    whole = rig.cache._module_path(digest).read_bytes()
    rig.cache._module_path(digest).write_bytes(whole[:-5])
    done = rig.run(digest, b"x")
    assert done.error is not None
    assert (done.error.kind, "push it again" in done.error.message) == ("storage", True)
    assert not rig.cache.has(digest)
    assert rig.run(rig.cache.put(whole), b"x").state is JobState.SUCCEEDED
