from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import cbor_items, jobs
from waspi.errors import (
    ConfigError,
    EnvelopeError,
    ExpiredError,
    InputTooLargeError,
    ModuleTooLargeError,
    NotAllowedError,
    RetainedJobError,
    SignatureError,
    TopicError,
    UnsignedError,
    WaspiError,
)
from waspi.model.job import Job
from waspi.model.module import InlineModule, NamedModule
from waspi.model.state import JobState
from waspi.protocol import cbor, cose
from waspi.protocol.admission import MAX_CORRELATION, Admitted, Refused, admit
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.policy import InlinePolicy, InputLimits, JobsPolicy, Policy
from waspi.protocol.response_topic import ResponseTopics
from waspi.protocol.topics import Route, RouteKind, Topics
from waspi.protocol.trust import DEFAULT_HORIZON_S, Role, TrustedKey

NOW = 1_800_000_000.0
YEAR = 365 * 24 * 3600.0
TOPICS = Topics("home")
SEED = bytes(range(32))
KEYS = {
    "k1": TrustedKey("k1", cose.public_key(SEED)),
    "run-only": TrustedKey("run-only", cose.public_key(SEED), roles=frozenset({Role.RUN})),
}
OPEN = Policy(TOPICS, "pi-1", ResponseTopics(TOPICS, "pi-1"), groups=frozenset({"barn"}), keys=KEYS)
SIGNED = replace(OPEN, jobs=JobsPolicy.SIGNED)
DEVICE_JOB = Route(RouteKind.DEVICE_JOB, "pi-1")
GROUP_JOB = Route(RouteKind.GROUP_JOB, group="barn")
RUN = Route(RouteKind.RUN, "pi-1", item="append")
JOB = Job("job-1", NamedModule("append"), (b"x",))
FOR_SIGNING = replace(JOB, audience="device/pi-1", expires_at=NOW + 60)


@dataclass(frozen=True)
class Message:
    payload: bytes = b""
    retain: bool = False
    reply_to: str | None = None
    correlation: bytes | None = None
    expires_in_s: int | None = None


def decide(
    message: Message | Job | bytes,
    policy: Policy = OPEN,
    route: Route = DEVICE_JOB,
    *,
    now: float = NOW,
    time_floor: float = 0,
    plain_id: str = "run-1",
) -> Admitted | Refused:
    if isinstance(message, Job):
        message = encode_job(message)
    if isinstance(message, bytes):
        message = Message(message)
    return admit(policy, route, message, now=now, time_floor=time_floor, plain_id=plain_id)


def admitted(decision: Admitted | Refused) -> Admitted:
    assert isinstance(decision, Admitted), decision
    return decision


def refused(decision: Admitted | Refused, error: type[WaspiError], says: str = "") -> Refused:
    assert isinstance(decision, Refused)
    assert type(decision.error) is error, decision.error
    assert says in decision.error.message
    assert decision.state is (JobState.EXPIRED if error is ExpiredError else JobState.REJECTED)
    return decision


def sign(job: Job, kid: str = "k1", seed: bytes = SEED) -> bytes:
    return cose.sign(encode_job(job), seed=seed, kid=kid)


def test_admitted() -> None:
    payload = encode_job(JOB)
    decision = decide(Message(payload, reply_to="reply/c1", correlation=b"7"))
    assert decision == Admitted(
        job=JOB,
        body_hash=hashlib.sha256(payload).digest(),
        reply_to="reply/c1",
        correlation=b"7",
        plain=False,
        key_id=None,
        expires_at=None,
    )
    assert admitted(decide(payload)).reply_to == "waspi/v1/home/device/pi-1/result/job-1"
    assert admitted(decide(payload, route=GROUP_JOB)).job == JOB
    assert admitted(decide(replace(JOB, audience="group/barn"))).job.audience == "group/barn"


def test_plain() -> None:
    decision = admitted(decide(Message(b"\0raw", reply_to="reply/x", expires_in_s=5), route=RUN))
    assert decision.job == Job("run-1", NamedModule("append"), (b"\0raw",))
    assert decision.plain
    assert decision.expires_at == NOW + 5
    # What looks like a job or a signature is raw input on the plain topic, and never decoded.
    for payload in (encode_job(JOB), sign(FOR_SIGNING), b"\xd2", b""):
        assert admitted(decide(payload, route=RUN)).job.inputs == (payload,)
    no_id = refused(decide(b"x", route=RUN, plain_id="#"), TopicError, "job id")
    assert no_id.job_id is None
    assert no_id.plain


def test_plain_under_policy_signed() -> None:
    decision = refused(decide(b"x", SIGNED, RUN), NotAllowedError, "open")
    assert (decision.plain, decision.job_id, decision.answer_id) == (True, "run-1", "run-1")
    opened = replace(SIGNED, open_modules=frozenset({"append"}))
    assert admitted(decide(b"x", opened, RUN)).plain
    refused(decide(b"x", opened, RUN._replace(item="other")), NotAllowedError)
    refused(decide(JOB, opened), UnsignedError)


@pytest.mark.parametrize("route", [DEVICE_JOB, GROUP_JOB, RUN])
def test_fault_17_retained(route: Route) -> None:
    decision = refused(
        decide(Message(encode_job(JOB), retain=True), route=route), RetainedJobError, "state, not a trigger"
    )
    assert decision.reply_to.startswith("waspi/v1/home/device/pi-1/result/")


@pytest.mark.parametrize(
    "route",
    [
        Route(RouteKind.DEVICE_JOB, "pi-2"),
        Route(RouteKind.RUN, "pi-2", item="append"),
        Route(RouteKind.GROUP_JOB, group="stable"),
        Route(RouteKind.RESULT, "pi-1", item="j"),
        Route(RouteKind.DEPOT_GET),
    ],
)
def test_fault_24_routes_of_others(route: Route) -> None:
    refused(decide(JOB, route=route), TopicError)


def test_sizes() -> None:
    limits = InputLimits(message_bytes=400, input_bytes=10, module_bytes=20)
    policy = replace(OPEN, limits=limits, inline=InlinePolicy.ALLOW)
    assert admitted(decide(replace(JOB, inputs=(bytes(10),)), policy))
    refused(decide(replace(JOB, inputs=(bytes(11),)), policy), InputTooLargeError, "11 bytes")
    refused(decide(replace(JOB, inputs=(bytes(6), bytes(5)), batch=True), policy), InputTooLargeError, "11 bytes")
    refused(decide(bytes(11), policy, RUN), InputTooLargeError, "11 bytes")
    refused(decide(replace(JOB, module=InlineModule(bytes(21))), policy), ModuleTooLargeError, "21 bytes")
    huge = refused(decide(bytes(401), policy), InputTooLargeError, "401 bytes")
    assert huge.body_hash == hashlib.sha256(bytes(400)).digest()


def test_inline_policies() -> None:
    inline = replace(FOR_SIGNING, module=InlineModule(b"\0asm"))
    unsigned, signed, lesser = encode_job(inline), sign(inline), sign(inline, kid="run-only")
    for policy, of_unsigned, of_signed in [
        (InlinePolicy.ALLOW, True, True),
        (InlinePolicy.SIGNED, False, True),
        (InlinePolicy.DENY, False, False),
    ]:
        device = replace(OPEN, inline=policy)
        assert isinstance(decide(unsigned, device), Admitted) is of_unsigned
        assert isinstance(decide(signed, device), Admitted) is of_signed
        refused(decide(lesser, device), NotAllowedError)


# --- signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [OPEN, SIGNED])
def test_signed(policy: Policy) -> None:
    message = sign(FOR_SIGNING)
    decision = admitted(decide(message, policy))
    assert (decision.job, decision.key_id, decision.expires_at) == (FOR_SIGNING, "k1", NOW + 60)
    assert decision.body_hash == hashlib.sha256(message).digest()


def test_fault_15_unsigned() -> None:
    decision = refused(
        decide(Message(encode_job(FOR_SIGNING), reply_to="reply/x"), SIGNED), UnsignedError, "signed jobs"
    )
    assert decision.reply_to == "reply/x"
    assert decision.job_id is None  # nothing was decoded
    assert decision.answer_id == f"unread-{decision.body_hash.hex()[:16]}"


@pytest.mark.parametrize("policy", [OPEN, SIGNED])
def test_fault_15_wrong_key(policy: Policy) -> None:
    refused(decide(sign(FOR_SIGNING, seed=bytes(32)), policy), SignatureError, "not that of key k1")
    refused(decide(sign(FOR_SIGNING, kid="k9"), policy), SignatureError, "does not trust")


@pytest.mark.parametrize("policy", [OPEN, SIGNED])
def test_fault_15_wrong_audience_and_expiry(policy: Policy) -> None:
    refused(decide(sign(replace(FOR_SIGNING, audience="device/pi-2")), policy), SignatureError, "device/pi-2")
    refused(decide(sign(replace(FOR_SIGNING, audience=None)), policy), SignatureError, "audience")
    refused(decide(sign(replace(FOR_SIGNING, expires_at=None)), policy), SignatureError, "expires_at")
    expired = refused(decide(sign(replace(FOR_SIGNING, expires_at=NOW - 1)), policy), ExpiredError)
    assert expired.job_id == "job-1"


def test_fault_15_a_bad_job_with_a_good_signature() -> None:
    refused(decide(cose.sign(b"\x81" * 1000, seed=SEED, kid="k1"), SIGNED), EnvelopeError)
    refused(decide(cose.sign(b"\xd2", seed=SEED, kid="k1"), SIGNED), EnvelopeError)
    nested = cose.sign(sign(FOR_SIGNING), seed=SEED, kid="k1")
    refused(decide(nested, SIGNED), EnvelopeError, "tag")


def test_fault_16_sent_to_another_device() -> None:
    message = sign(FOR_SIGNING)
    other = replace(SIGNED, device="pi-2", replies=ResponseTopics(TOPICS, "pi-2"))
    refused(decide(message, other, Route(RouteKind.DEVICE_JOB, "pi-2")), SignatureError, "not for device pi-2")
    outside = replace(SIGNED, groups=frozenset({"stable"}))
    to_barn = sign(replace(FOR_SIGNING, audience="group/barn"))
    assert admitted(decide(to_barn, SIGNED, GROUP_JOB))
    refused(decide(to_barn, outside, Route(RouteKind.GROUP_JOB, group="stable")), SignatureError, "group/barn")


def test_fault_16_a_replay_is_a_duplicate_or_expired() -> None:
    message = sign(FOR_SIGNING)
    first, again = admitted(decide(message, SIGNED)), admitted(decide(message, SIGNED, now=NOW + 59))
    # Until its expiry the journal knows it by id and hash ...
    assert (first.job.id, first.body_hash) == (again.job.id, again.body_hash)
    # ... which is never further away than the journal remembers, and afterwards it is expired for ever.
    refused(decide(message, SIGNED, now=NOW + 60), ExpiredError)
    late = replace(FOR_SIGNING, expires_at=NOW + DEFAULT_HORIZON_S + 1)
    refused(decide(sign(late), SIGNED), SignatureError, "ahead of this device's clock")


# --- time ---------------------------------------------------------------------------------------------------


def test_fault_14_clock_set_back() -> None:
    old = sign(replace(FOR_SIGNING, expires_at=NOW - 1))
    back = NOW - 10 * YEAR
    # Without a floor the device would have to say that it lies too far ahead; with it, it is expired as it always was.
    refused(decide(old, SIGNED, now=back, time_floor=0), SignatureError, "ahead of this device's clock")
    refused(decide(old, SIGNED, now=back, time_floor=NOW), ExpiredError)
    refused(decide(replace(JOB, expires_at=NOW - 1), now=back, time_floor=NOW), ExpiredError)
    assert admitted(decide(sign(FOR_SIGNING), SIGNED, now=back, time_floor=NOW))


def test_fault_14_clock_set_forward() -> None:
    ahead = NOW + 10 * YEAR
    refused(decide(sign(FOR_SIGNING), SIGNED, now=ahead), ExpiredError)
    refused(decide(replace(JOB, expires_at=NOW + 60), now=ahead), ExpiredError)
    assert admitted(decide(JOB, now=ahead))


def test_message_expiry_counts() -> None:
    job = replace(JOB, expires_at=NOW + 60)
    for in_s, expected in ((None, NOW + 60), (10, NOW + 10), (100, NOW + 60)):
        assert admitted(decide(Message(encode_job(job), expires_in_s=in_s))).expires_at == expected
    assert admitted(decide(Message(encode_job(JOB), expires_in_s=10), time_floor=NOW + 5)).expires_at == NOW + 15
    refused(decide(Message(encode_job(JOB), expires_in_s=0)), ExpiredError, "Message Expiry")


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["other/x", "reply/#", "waspi/v1/home/device/pi-2/job", "reply/\0", ""])
def test_a_bad_response_topic_is_told_on_the_default_one(topic: str) -> None:
    decision = refused(decide(Message(encode_job(JOB), reply_to=topic, correlation=b"7")), TopicError, "Response Topic")
    assert decision.job_id == "job-1"
    assert decision.reply_to == "waspi/v1/home/device/pi-1/result/job-1"
    assert decision.correlation == b"7"


def test_correlation_is_bounded() -> None:
    assert admitted(decide(Message(encode_job(JOB), correlation=bytes(MAX_CORRELATION))))
    decision = refused(
        decide(Message(encode_job(JOB), correlation=bytes(MAX_CORRELATION + 1))), TopicError, "Correlation"
    )
    assert decision.correlation is None


def test_a_wrong_envelope_is_answered_by_its_id() -> None:
    payload = cbor.encode({"v": 1, "id": "job-7", "colour": 1})
    decision = refused(decide(Message(payload, reply_to="reply/x", correlation=b"7")), EnvelopeError, "'colour'")
    assert (decision.job_id, decision.answer_id, decision.reply_to) == ("job-7", "job-7", "reply/x")


def test_fault_23_undecodable_is_answered_by_its_hash() -> None:
    decision = refused(decide(b"\x81" * 100), EnvelopeError)
    assert decision.job_id is None
    assert decision.answer_id == "unread-" + hashlib.sha256(b"\x81" * 100).hexdigest()[:16]
    assert decision.reply_to == f"waspi/v1/home/device/pi-1/result/{decision.answer_id}"


def test_an_unsigned_audience_of_another_is_refused() -> None:
    refused(decide(replace(JOB, audience="device/pi-2")), NotAllowedError, "device/pi-2")


messages = st.builds(
    Message,
    payload=st.binary(max_size=60)
    | cbor_items.map(cbor.encode)
    | jobs().map(encode_job)
    | st.binary(max_size=60).map(lambda tail: b"\xd2\x84" + tail)
    | jobs().map(sign),
    retain=st.booleans(),
    reply_to=st.none() | st.text(max_size=20) | st.text(max_size=20).map("reply/{}".format),
    correlation=st.none() | st.binary(max_size=300),
    expires_in_s=st.none() | st.integers(-1, 2**32),
)
routes = st.sampled_from(
    [
        *(DEVICE_JOB, GROUP_JOB, RUN, RUN._replace(request="q-1"), Route(RouteKind.GROUP_RUN, "", "kitchen", "append")),
        *(Route(RouteKind.GROUP_RUN, "", "elsewhere", "append"), Route(RouteKind.DEVICE_JOB, "pi-2")),
        Route(RouteKind.PRESENCE, "pi-1"),
    ]
)
times = st.floats(-1e12, 1e12) | st.just(NOW)


@given(messages, routes, st.sampled_from([OPEN, SIGNED]), times, times, st.sampled_from(["", "run-1", "#"]))
def test_fault_15_admission_is_total(
    message: Message, route: Route, policy: Policy, now: float, floor: float, plain_id: str
) -> None:
    decision = decide(message, policy, route, now=now, time_floor=floor, plain_id=plain_id)
    TOPICS.result("pi-1", decision.job.id if isinstance(decision, Admitted) else decision.answer_id)
    assert decision.correlation is None or len(decision.correlation) <= MAX_CORRELATION
    assert decision.reply_to.startswith(("reply/", "waspi/v1/home/"))
    if isinstance(decision, Admitted):
        assert not message.retain
        assert decision.expires_at is None or decision.expires_at > max(now, floor)
        assert policy is OPEN or decision.key_id is not None


def test_policies_that_cannot_hold() -> None:
    with pytest.raises(ConfigError, match="refuses every job"):
        replace(SIGNED, keys={})
    with pytest.raises(ConfigError, match="listed as k2"):
        replace(OPEN, keys={"k2": KEYS["k1"]})
    with pytest.raises(TopicError):
        replace(OPEN, groups=frozenset({"#"}))
