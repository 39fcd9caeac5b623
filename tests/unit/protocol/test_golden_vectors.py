"""The bytes of the protocol, fixed: ``golden_vectors.json`` is for other implementations to check themselves by.

Each vector is the hex of a message; what it says stands here. A change of one of them is a change of the protocol.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waspi.errors import EnvelopeError, Fault, SignatureError
from waspi.model.abi import Abi
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.model.result import JobError, ModuleOrigin, Result, Usage
from waspi.model.state import JobState
from waspi.protocol import cose
from waspi.protocol.cancel import decode_cancel, encode_cancel
from waspi.protocol.chunk import decode_chunk, split
from waspi.protocol.job_envelope import decode_job, encode_job
from waspi.protocol.result_envelope import decode_result, encode_result
from waspi.protocol.status import StatusChange, decode_status, encode_status
from waspi.protocol.sync import SyncReport, decode_sync_query, decode_sync_report, encode_sync_query, encode_sync_report
from waspi.protocol.trust import TrustedKey
from waspi.protocol.wanted import bucket

VECTORS = json.loads(Path(__file__).with_name("golden_vectors.json").read_text(encoding="utf-8"))
EMPTY_MODULE = bytes.fromhex("0061736d01000000")
INPUT = b"The input string"

JOBS = {
    "smallest": Job("job-1", NamedModule("append"), (INPUT,)),
    "inline": Job("job-1", InlineModule(EMPTY_MODULE), (INPUT,)),
    "by digest": Job("job-1", DigestModule("ab" * 32), (b"",)),
    "batch": Job("job-1", NamedModule("append", "1.2.0"), (b"a", b"b", b""), batch=True),
    "full": Job(
        id="job-1",
        module=NamedModule("append", "1.2.0"),
        inputs=(INPUT,),
        abi=Abi(entry="scale", headroom=4096, input="json", output="json"),
        limits=Limits(fuel=1_000_000, memory_bytes=1 << 20, time_ms=500, output_bytes=4096, log_bytes=0),
        expires_at=1_900_000_000,
        priority=-5,
        audience="group/barn",
    ),
    "expiry with a fraction": Job("job-1", NamedModule("append"), (b"",), expires_at=1_900_000_000.5),
}
RESULTS = {
    "succeeded": Result(
        "job-1",
        "pi-1",
        JobState.SUCCEEDED,
        (b"The input string<---- This is your string",),
        log=b"hello\n",
        usage=Usage(fuel=1234, memory_bytes=65536, run_us=20, queue_us=300, module=ModuleOrigin.WARM),
        module="append@1.2.0",
    ),
    "batch": Result("job-1", "pi-1", JobState.SUCCEEDED, (b"a", b""), batch=True),
    "trap": Result(
        "job-1",
        "pi-1",
        JobState.FAILED,
        error=JobError(Fault.GUEST, "division-by-zero", "integer division by zero", function="scale", offset=73),
        usage=Usage(fuel=12, memory_bytes=65536, run_us=3, queue_us=4, module=ModuleOrigin.COMPILED),
    ),
    "rejected": Result(
        "job-1", "pi-1", JobState.REJECTED, error=JobError(Fault.PUBLISHER, "bad-envelope", "unknown key"), attempt=0
    ),
}
STATUS = StatusChange("job-1", "pi-1", JobState.IN_PROGRESS, 1, 1_800_000_000_123)
REPORT = SyncReport("pi-1", "b1", {"job-1": JobState.QUEUED, "j2": JobState.FAILED}, complete=False, unknown=("job-3",))
SEED = bytes(range(32))


def hexes(kind: str) -> dict[str, bytes]:
    return {name: bytes.fromhex(text) for name, text in VECTORS[kind].items()}


def test_jobs() -> None:
    assert {name: encode_job(job) for name, job in JOBS.items()} == hexes("job")
    assert {name: decode_job(data) for name, data in hexes("job").items()} == JOBS


def test_results() -> None:
    assert {name: encode_result(result) for name, result in RESULTS.items()} == hexes("result")
    assert {name: decode_result(data) for name, data in hexes("result").items()} == RESULTS


def test_others() -> None:
    others = hexes("other")
    parts = list(split(encode_result(RESULTS["succeeded"]), job="job-1", device="pi-1", chunk_bytes=100))
    assert others == {
        "status": encode_status(STATUS),
        "cancel": encode_cancel("too late"),
        "sync report": encode_sync_report(REPORT),
        "sync query": encode_sync_query(["job-1", "j2"]),
        **{f"chunk {index} of the result 'succeeded'": part for index, part in enumerate(parts)},
    }
    assert decode_status(others["status"]) == STATUS
    assert decode_cancel(others["cancel"]) == "too late"
    assert decode_sync_report(others["sync report"]) == REPORT
    assert decode_sync_query(others["sync query"]) == ("job-1", "j2")
    assert b"".join(decode_chunk(part).data for part in parts) == encode_result(RESULTS["succeeded"])


def test_signed() -> None:
    signed = hexes("signed")
    assert signed["private key"] == SEED
    assert signed["public key"] == cose.public_key(SEED)
    assert signed["job 'full' by key k1"] == cose.sign(encode_job(JOBS["full"]), seed=SEED, kid="k1")
    key = TrustedKey("k1", signed["public key"])
    payload, _ = cose.verify(signed["job 'full' by key k1"], {"k1": key}, max_bytes=1000)
    assert decode_job(payload) == JOBS["full"]


@pytest.mark.parametrize("name", VECTORS["refused job"])
def test_refused_jobs(name: str) -> None:
    with pytest.raises(EnvelopeError):
        decode_job(bytes.fromhex(VECTORS["refused job"][name]))


@pytest.mark.parametrize("name", VECTORS["refused signed job"])
def test_refused_signed_jobs(name: str) -> None:
    key = TrustedKey("k1", bytes.fromhex(VECTORS["signed"]["public key"]))
    with pytest.raises(SignatureError):
        cose.verify(bytes.fromhex(VECTORS["refused signed job"][name]), {"k1": key}, max_bytes=1000)


def test_buckets() -> None:
    assert [[device, release, bucket(device, release)] for device, release, _ in VECTORS["bucket"]] == VECTORS["bucket"]
