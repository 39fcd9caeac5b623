from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import ids, versions
from waspi.errors import EnvelopeError
from waspi.model.deployment import DeploymentEntry
from waspi.protocol import wanted
from waspi.protocol.wanted import bucket


def in_stage(device: str, release: str, percent: float) -> bool:
    name, _, version = release.partition("@")
    return wanted.in_stage(device, DeploymentEntry(name, version, percent))


RELEASES = st.builds("{}@{}".format, ids, versions)


@given(ids, RELEASES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_larger_stage_holds_the_smaller(device: str, release: str, one: int, two: int) -> None:
    small, large = sorted((one, two))
    assert in_stage(device, release, large / 100) or not in_stage(device, release, small / 100)


@given(ids, RELEASES)
def test_the_definition(device: str, release: str) -> None:
    digest = hashlib.sha256((device + release).encode()).hexdigest()
    assert bucket(device, release) == int(digest, 16) % 10_000
    assert not in_stage(device, release, 0)
    assert in_stage(device, release, 100)


def test_every_hundredth_is_exact() -> None:
    """0.29 * 100 and 1.1 * 100 are no whole numbers in binary."""
    mine = bucket("pi-1", "append@1.2.0")
    assert [in_stage("pi-1", "append@1.2.0", hundredths / 100) for hundredths in range(10_001)] == [
        mine < hundredths for hundredths in range(10_001)
    ]


def test_the_edge_of_every_bucket_is_exact() -> None:
    for device in (f"pi-{number}" for number in range(3000)):
        edge = bucket(device, "append@1.2.0")
        assert not in_stage(device, "append@1.2.0", edge / 100)
        assert in_stage(device, "append@1.2.0", (edge + 1) / 100)


def test_stages_have_their_size() -> None:
    devices = [f"pi-{number}" for number in range(20_000)]
    for percent in (1, 10, 50):
        share = sum(in_stage(device, "append@1.2.0", percent) for device in devices) / len(devices) * 100
        assert abs(share - percent) < 1.2


@pytest.mark.parametrize("percent", [-0.01, 100.01, 0.005, float("nan"), float("inf")])
def test_other_percentages_are_refused(percent: float) -> None:
    with pytest.raises(EnvelopeError, match="per cent"):
        in_stage("pi", "r@1", percent)


def test_a_named_device_is_in_whatever_its_bucket_is() -> None:
    entry = DeploymentEntry("append", "1.2.0", 0.0, devices=("pi-7", "pi-9"))
    assert [device for device in ("pi-6", "pi-7", "pi-8", "pi-9") if wanted.in_stage(device, entry)] == ["pi-7", "pi-9"]
