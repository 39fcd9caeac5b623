"""Releases, deployments, ranges and what a device shall run."""

from __future__ import annotations

import itertools
import json
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import abis, digests, ids, limits, versions
from waspi.errors import EnvelopeError
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.model.module_state import TRANSITIONS, ModuleState, may_become
from waspi.model.release import GoldenPair, Release
from waspi.model.state import JobState
from waspi.protocol import cbor
from waspi.protocol.deployment_document import decode_deployment, encode_deployment
from waspi.protocol.depot import (
    MAX_RANGE,
    ZLIB,
    RangeChunk,
    RangeRequest,
    Refusal,
    RefusalKind,
    TimestampNotice,
    compress,
    decode_range_chunk,
    decode_range_request,
    decode_timestamp_notice,
    encode_range_chunk,
    encode_range_request,
    encode_timestamp_notice,
)
from waspi.protocol.release_custom import MAX_GOLDEN_BYTES, custom_of, release_of
from waspi.protocol.reported import LastJob, Reported, ReportedModule, decode_reported, encode_reported
from waspi.protocol.repository_path import (
    deployment_target,
    group_of,
    is_repository_path,
    metadata_path,
    module_of,
    module_target,
    target_path,
)
from waspi.protocol.wanted import Share, check_serial, in_stage, wanted_modules

stages = st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)
named = st.lists(ids, max_size=4, unique=True).map(tuple)
entries = st.builds(DeploymentEntry, ids, versions, stages, st.none() | versions, st.integers(0, 5), named)
deployments = st.builds(
    Deployment,
    ids,
    st.integers(1, 2**53 - 1),
    st.lists(entries, max_size=5, unique_by=lambda entry: entry.name).map(tuple),
)
golden = st.lists(st.builds(GoldenPair, st.binary(max_size=50), st.binary(max_size=50)), max_size=4).map(tuple)
releases = st.builds(Release, ids, versions, digests, st.integers(1, 1 << 24), abis, limits, golden)
paths = st.one_of(
    st.builds(metadata_path, st.sampled_from(["root", "targets"]), st.integers(1, 10**9 - 1)),
    st.just("metadata/timestamp.json"),
    st.builds(lambda n, v, d: target_path(module_target(n, v), d), ids, versions, digests),
    st.builds(lambda g, d: target_path(deployment_target(g), d), ids, digests),
)
requests = st.builds(
    RangeRequest,
    ids,
    paths,
    st.integers(0, 1 << 26),
    st.integers(1, MAX_RANGE),
    st.lists(st.text(max_size=8), max_size=3).map(tuple),
)


@given(deployments)
def test_deployment_round_trip(deployment: Deployment) -> None:
    assert decode_deployment(encode_deployment(deployment)) == deployment


@given(releases)
def test_release_round_trip(release: Release) -> None:
    custom = json.loads(json.dumps(custom_of(release)))
    target = module_target(release.name, release.version)
    assert release_of(target, release.length, release.sha256, custom) == release
    assert module_of(target) == (release.name, release.version)


@given(requests)
def test_request_round_trip(request: RangeRequest) -> None:
    assert decode_range_request(encode_range_request(request)) == request


@given(paths, st.binary(min_size=1, max_size=500), st.integers(0, 1000), st.booleans())
def test_chunk_round_trip(path: str, data: bytes, offset: int, repeat: bool) -> None:
    data = data * 40 if repeat else data
    chunk = RangeChunk("depot-1", "token", path, offset, offset + len(data) + 7, data)
    assert decode_range_chunk(encode_range_chunk(chunk)) == chunk
    packed = compress(data)
    if packed is not None:
        assert len(packed) < len(data)
        assert decode_range_chunk(encode_range_chunk(chunk, compressed=packed)) == chunk
    refused = RangeChunk("depot-1", "token", path, offset, error=Refusal(RefusalKind.BUSY, "later", 500))
    assert decode_range_chunk(encode_range_chunk(refused)) == refused


@given(st.binary(max_size=200))
def test_fault_23_whatever_bytes_are_refused_cleanly(data: bytes) -> None:
    for decode in (decode_range_request, decode_range_chunk, decode_deployment, decode_timestamp_notice):
        with pytest.raises(EnvelopeError):
            decode(data)


@given(st.text(max_size=60) | st.from_regex(r"(metadata|targets)/[a-z0-9./]{0,40}", fullmatch=True))
def test_no_path_leads_out_of_the_repository(text: str) -> None:
    if is_repository_path(text):
        assert ".." not in text.split("/")
        assert text.startswith(("metadata/", "targets/"))
        assert not text.endswith("/")


@pytest.mark.parametrize(
    "path",
    [
        "../metadata/timestamp.json",
        "metadata/../timestamp.json",
        "metadata/timestamp.json\n",
        "/metadata/timestamp.json",
        "metadata/0.root.json",
        "metadata/01.root.json",
        "metadata/1.timestamp.json",
        "metadata/1.evil.json",
        f"targets/modules/../{'a' * 64}.1.wasm",
        f"targets/modules/a/{'a' * 63}.1.wasm",
        f"targets/modules/a/{'A' * 64}.1.wasm",
        f"targets/deployments/{'a' * 64}.a/b.json",
        "repository.json",
        "draft.json",
        "",
    ],
)
def test_strange_paths_are_none(path: str) -> None:
    assert not is_repository_path(path)
    with pytest.raises(EnvelopeError):
        decode_range_request(encode_range_request(RangeRequest("t", path, 0, 1)))


@pytest.mark.parametrize("change", [{"offset": -1}, {"length": 0}, {"length": MAX_RANGE + 1}, {"token": "#"}])
def test_wrong_requests(change: dict[str, object]) -> None:
    request = replace(RangeRequest("t", "metadata/timestamp.json", 0, 1), **change)  # type: ignore[arg-type]
    with pytest.raises(EnvelopeError):
        decode_range_request(encode_range_request(request))


def test_a_chunk_beyond_its_file_or_empty_is_refused() -> None:
    for offset, total, data in ((0, 3, b"four"), (2, 5, b"four"), (0, 10, b"")):
        with pytest.raises(EnvelopeError, match="are no range"):
            decode_range_chunk(encode_range_chunk(RangeChunk("d", "t", "metadata/timestamp.json", offset, total, data)))


def test_a_bomb_in_a_chunk_costs_no_memory() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    assert len(bomb) < MAX_RANGE
    fields = {
        "v": 1,
        "depot": "d",
        "token": "t",
        "path": "metadata/timestamp.json",
        "offset": 0,
        "total": 1 << 20,
        "coding": ZLIB,
    }
    tracemalloc.start()
    try:
        for data in (bomb, bomb[:-1], zlib.compress(b"x") + b"y", b"", b"no zlib"):
            with pytest.raises(EnvelopeError):
                decode_range_chunk(cbor.encode({**fields, "data": data}))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_notice() -> None:
    notice = TimestampNotice(7, "ab" * 32)
    assert encode_timestamp_notice(notice) == b'{"version":7,"sha256":"' + b"ab" * 32 + b'"}'
    assert decode_timestamp_notice(encode_timestamp_notice(notice)) == notice


def test_golden_pairs_are_bounded() -> None:
    release = Release("a", "1", "ab" * 32, 5, golden=(GoldenPair(bytes(MAX_GOLDEN_BYTES), b"x"),))
    with pytest.raises(EnvelopeError, match="every device reads them"):
        custom_of(release)


@pytest.mark.parametrize(
    "custom",
    [
        None,
        {},
        {"waspi": []},
        {"waspi": {"v": 2}},
        {"waspi": {"v": 1, "run": "rm"}},
        {"waspi": {"v": 1, "golden": [{"input": "!", "output": ""}]}},
        {"waspi": {"v": 1, "golden": [{"input": ""}]}},
        {"waspi": {"v": 1, "limits": {"fuel": -1}}},
        {"waspi": {"v": 1, "abi": {"headroom": -1}}},
    ],
)
def test_wrong_metadata_of_a_release(custom: dict[str, object] | None) -> None:
    with pytest.raises(EnvelopeError):
        release_of("modules/a/1.wasm", 5, "ab" * 32, custom)


def test_targets_that_are_no_modules() -> None:
    good: dict[str, object] = {"waspi": {"v": 1}}
    for target in ("modules/a/b/1.wasm", "modules/A/1.wasm", "deployments/a.json", "modules/a/1.exe"):
        with pytest.raises(EnvelopeError):
            release_of(target, 5, "ab" * 32, good)
    for length in (0, -1, 1 << 30):
        with pytest.raises(EnvelopeError):
            release_of("modules/a/1.wasm", length, "ab" * 32, good)
    assert group_of("deployments/kitchen.json") == "kitchen"
    assert group_of("modules/a/1.wasm") is None


BAD_NAMES: list[object] = ["pi-1", {}, ["a/b"], ["#"], [1], ["pi-1", "pi-1"], [f"pi-{number}" for number in range(65)]]


@pytest.mark.parametrize(
    "change",
    [
        {"serial": 0},
        {"serial": True},
        {"group": "a/b"},
        {"colour": 1},
        {"entries": [{"name": "a", "version": "1"}]},
        {"entries": [{"name": "a", "version": "1", "stage": 100.5}]},
        {"entries": [{"name": "a", "version": "1", "stage": 0.001}]},
        {"entries": [{"name": "a", "version": "1", "stage": True}]},
        *({"entries": [{"name": "a", "version": "1", "stage": 0, "devices": each}]} for each in BAD_NAMES),
        {"entries": [{"name": "a", "version": "../1", "stage": 1}]},
        {"entries": [{"name": "a", "version": "1", "stage": 1, "base": ""}]},
        {"entries": [{"name": "a", "version": v, "stage": 1} for v in ("1", "2")]},
    ],
)
def test_wrong_deployments(change: dict[str, object]) -> None:
    document = {"v": 1, "group": "kitchen", "serial": 3, "entries": [], **change}
    with pytest.raises(EnvelopeError):
        decode_deployment(json.dumps(document).encode())


@given(ids, stages, st.none() | versions)
def test_a_device_is_in_the_stage_or_keeps_to_the_base(device: str, stage: float, base: str | None) -> None:
    entry = DeploymentEntry("append", "2.0.0", stage, base, 4)
    deployment = Deployment("kitchen", 9, (entry,))
    (wanted,) = wanted_modules(
        {"kitchen": deployment}, device=device, groups=("kitchen",), current={"append": "0.9"}
    ).values()
    if in_stage(device, entry):
        assert (wanted.version, wanted.share) == ("2.0.0", Share.STAGE)
    elif base is not None:
        assert (wanted.version, wanted.share) == (base, Share.BASE)
    else:
        assert (wanted.version, wanted.share) == ("0.9", Share.KEPT)
    assert (wanted.offered, wanted.serial, wanted.retry, wanted.group) == ("2.0.0", 9, 4, "kitchen")


def test_the_first_group_that_names_a_module_decides() -> None:
    kitchen = Deployment("kitchen", 1, (DeploymentEntry("a", "1"), DeploymentEntry("b", "1")))
    attic = Deployment("attic", 1, (DeploymentEntry("b", "2"), DeploymentEntry("c", "2")))
    known = {"kitchen": kitchen, "attic": attic, "cellar": Deployment("cellar", 1, (DeploymentEntry("d", "3"),))}
    both = wanted_modules(known, device="pi", groups=("kitchen", "attic", "unheard-of"), current={})
    assert {name: want.version for name, want in both.items()} == {"a": "1", "b": "1", "c": "2"}
    turned = wanted_modules(known, device="pi", groups=("attic", "kitchen"), current={})
    assert turned["b"].version == "2"


def test_fault_18_an_older_deployment_is_refused() -> None:
    deployment = Deployment("kitchen", 5)
    assert check_serial(deployment, group="kitchen", seen=5) is deployment
    for group, seen in (("kitchen", 6), ("attic", 0)):
        with pytest.raises(EnvelopeError):
            check_serial(deployment, group=group, seen=seen)


def test_the_life_of_a_release() -> None:
    steps = [ModuleState(state) for state in ("FETCHED", "VERIFIED", "COMPILED", "TESTED", "TRIAL", "ACTIVE")]
    for now, then in itertools.pairwise(steps):
        assert may_become(now, then)
        assert not may_become(then, now)
    for state in steps:
        assert may_become(state, ModuleState.FAILED)
        assert may_become(state, ModuleState.ROLLED_BACK)
    assert not may_become(ModuleState.VERIFIED, ModuleState.TRIAL)
    assert {state for state in ModuleState if state.final} == {ModuleState.FAILED, ModuleState.ROLLED_BACK}
    assert set(TRANSITIONS) == set(ModuleState)


def test_what_a_device_says_of_updates() -> None:
    module = ReportedModule("append", "1.0.0", "ab" * 32, "ACTIVE", available="2.0.0")
    reported = Reported(
        "1",
        "e",
        "a",
        "b",
        modules=(module,),
        deployments={"kitchen": 4},
        last_job=LastJob("j", JobState.FAILED, 5),
        clock_unset=True,
        updates="no depot answers",
    )
    assert decode_reported(encode_reported(reported)) == reported
    document = json.loads(encode_reported(reported))
    for change in ({"deployments": {"a/b": 1}}, {"last_job": {}}, {"last_job": {"id": "j", "state": "X", "at": 1}}):
        with pytest.raises(EnvelopeError):
            decode_reported(json.dumps({**document, **change}).encode())
