"""What is fuzzed of Python: every decoder of bytes that a broker hands over, with seeds that it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from waspi.errors import Fault, WaspiError
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.protocol import cose
from waspi.protocol.admission import Admitted, Refused, admit
from waspi.protocol.cancel import decode_cancel
from waspi.protocol.chunk import decode_chunk, split
from waspi.protocol.job_envelope import decode_job, encode_job
from waspi.protocol.policy import Policy
from waspi.protocol.presence import Presence, PresenceState, decode_presence, encode_presence
from waspi.protocol.reported import LastJob, MessageLimits, Reported, ReportedModule, decode_reported, encode_reported
from waspi.protocol.response_topic import ResponseTopics
from waspi.protocol.result_envelope import decode_result, encode_result
from waspi.protocol.state_call import (
    StateAnswer,
    StateCall,
    decode_state_answer,
    decode_state_call,
    encode_state_answer,
    encode_state_call,
)
from waspi.protocol.status import StatusChange, decode_status, encode_status
from waspi.protocol.sync import SyncReport, decode_sync_query, decode_sync_report, encode_sync_query, encode_sync_report
from waspi.protocol.topics import Topics
from waspi.protocol.trust import TrustedKey

CORPUS = Path(__file__).parent / "corpus" / "decoders"
SEED = bytes(range(32))

JOBS = (
    encode_job(Job("one", InlineModule(b"\0asm\1\0\0\0"), (b"in",))),
    encode_job(Job("two", DigestModule("ab" * 32), (b"a", b"b"), batch=True, limits=Limits(1, 2, 3, 4, 5))),
    encode_job(Job("three", NamedModule("m", "1.0"), (b"",), expires_at=1.5e9, priority=-3)),
)
RESULTS = (
    encode_result(Result("one", "pi-1", JobState.SUCCEEDED, (b"out",), log=b"log")),
    encode_result(Result("two", "pi-1", JobState.FAILED, error=JobError(Fault.GUEST, "trap", "m", "f", 3))),
)
REPORTED = Reported(
    "1.0.0", "wasmer 7", "aarch64-linux", "1-a", {"seccomp": "on"},
    (ReportedModule("append", "1.0.0", "0" * 64, "TRIAL", "a golden pair failed", "1.1.0"),),
    Limits(fuel=1, memory_bytes=2, time_ms=3), MessageLimits(4, 5, 6),
    ("kitchen",), {"room": "k"}, {"boots": 1}, {"kitchen": 7},
    LastJob("one", JobState.FAILED, 5), clock_unset=True, updates="no depot answers",
)  # fmt: skip
SYNC = encode_sync_report(SyncReport("pi-1", "1-a", {"one": JobState.QUEUED}, complete=True, unknown=("x",)))
SIGNED = tuple(cose.sign(job, seed=SEED, kid="ops") for job in JOBS)
KEYS = {"ops": TrustedKey("ops", cose.public_key(SEED))}
TOPICS = Topics("default")
POLICY = Policy(TOPICS, "pi-1", ResponseTopics(TOPICS, "pi-1"), keys=KEYS)


def _decode_topic(data: bytes) -> object:
    return TOPICS.parse(data.decode("utf-8", "surrogateescape"))


def _decode_reply_topic(data: bytes) -> object:
    return POLICY.replies.check(data.decode("utf-8", "surrogateescape"))


def _admit(data: bytes) -> object:
    """Total: it raises nothing at all, and what it refuses can be answered."""

    class Message:
        payload = data
        retain = False
        reply_to = None
        correlation = data[:300]
        expires_in_s = None

    route = TOPICS.parse(TOPICS.device_job("pi-1"))
    decision = admit(POLICY, route, Message(), now=1.8e9, time_floor=0.0)
    assert isinstance(decision, Admitted | Refused)
    return decision


Decoder = Callable[[bytes], object]
TARGETS: dict[str, tuple[Decoder, Callable[[object], bytes] | None, tuple[bytes, ...]]] = {
    "job": (decode_job, encode_job, JOBS),  # type: ignore[dict-item]
    "result": (decode_result, encode_result, RESULTS),  # type: ignore[dict-item]
    "chunk": (decode_chunk, None, tuple(split(RESULTS[0] * 9, job="one", device="pi-1", chunk_bytes=64))),
    "cancel": (decode_cancel, None, (b"\xa2av\x01freasondlate", b"", b"\xa1av\x01")),
    "status": (
        decode_status,
        encode_status,  # type: ignore[dict-item]
        (encode_status(StatusChange("one", "pi-1", JobState.QUEUED, 1, 5)),),
    ),
    "sync": (decode_sync_report, encode_sync_report, (SYNC,)),  # type: ignore[dict-item]
    "state-call": (
        decode_state_call,
        encode_state_call,  # type: ignore[dict-item]
        (encode_state_call(StateCall(500, 0, 199, ("pi-1", "pi-2"))),),
    ),
    "state-answer": (
        decode_state_answer,
        encode_state_answer,  # type: ignore[dict-item]
        (encode_state_answer(StateAnswer("pi-1", b"{}", b"{}")),),
    ),
    "sync-query": (decode_sync_query, encode_sync_query, (encode_sync_query(("a", "b")),)),  # type: ignore[dict-item]
    "presence": (
        decode_presence,
        encode_presence,  # type: ignore[dict-item]
        (encode_presence(Presence(PresenceState.ONLINE, "1-a", 5, "disk full")),),
    ),
    "reported": (
        decode_reported,
        None,  # what is too long is cut when it is encoded
        (
            encode_reported(REPORTED),
            b"{}",
            b'{"modules":[{}]}',
        ),
    ),
    "signed": (lambda data: cose.verify(data, KEYS, max_bytes=1 << 16), None, SIGNED),
    "topic": (
        _decode_topic,
        None,
        (TOPICS.device_job("pi-1").encode(), TOPICS.group_job("g").encode(), b"waspi/v1/+/#"),
    ),
    "reply-topic": (_decode_reply_topic, None, (b"reply/a/b", b"waspi/v1/default/device/pi-1/result/x", b"$SYS/a")),
    "admission": (_admit, None, (*JOBS, *SIGNED)),
}


def check(name: str, data: bytes) -> bool:
    """Whether the target accepts it; anything but a clean refusal is raised."""
    decode, encode, _ = TARGETS[name]
    try:
        value = decode(data)
    except WaspiError as error:
        if not error.message.isprintable():  # it goes into logs and answers
            raise
        return False
    if encode is not None:
        assert decode(encode(value)) == value
    return True
