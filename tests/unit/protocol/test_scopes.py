"""Every way in which a job can differ from what a key was meant for, as docs/SECURITY-MODEL.md lists them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.protocol.test_admission import DEVICE_JOB, GROUP_JOB, NOW, SEED, SIGNED, Message, decide, sign
from waspi.errors import (
    EnvelopeError,
    InputTooLargeError,
    NotAllowedError,
    RetainedJobError,
    SignatureError,
    WaspiError,
)
from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.protocol import cose
from waspi.protocol.admission import Admitted
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.policy import InlinePolicy, Policy
from waspi.protocol.topics import Route, RouteKind
from waspi.protocol.trust import DEFAULT_HORIZON_S, Role, TrustedKey

PAGE = Path(__file__).parents[3] / "docs" / "SECURITY-MODEL.md"
WASM = b"\0asm\1\0\0\0"
DIGEST = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
KEY = TrustedKey(
    "kitchen",
    cose.public_key(SEED),
    roles=frozenset({Role.RUN}),
    groups=frozenset({"barn"}),
    modules=frozenset({"append", "stats@1.2.0"}),
)
JOB = Job("j", NamedModule("append"), (b"x",), audience="group/barn", expires_at=NOW + 60)


def policy(key: TrustedKey = KEY) -> Policy:
    return replace(SIGNED, keys={key.kid: key}, inline=InlinePolicy.ALLOW)


def allowed(job: Job, key: TrustedKey = KEY, route: Route = DEVICE_JOB) -> bool:
    return isinstance(decide(sign(job, kid=key.kid), policy(key), route), Admitted)


def refused(job: Job, error: type[WaspiError] = NotAllowedError, says: str = "", key: TrustedKey = KEY) -> None:
    decision = decide(sign(job, kid=key.kid), policy(key))
    assert not isinstance(decision, Admitted)
    assert type(decision.error) is error, decision.error
    assert says in decision.error.message


def test_what_the_key_is_meant_for() -> None:
    assert allowed(JOB)
    assert allowed(JOB, route=GROUP_JOB)
    assert allowed(replace(JOB, audience="device/pi-1"))


def test_another_module() -> None:
    refused(replace(JOB, module=NamedModule("other")), says="may not run other")


def test_another_version_of_the_module() -> None:
    assert allowed(replace(JOB, module=NamedModule("append", "0.9.0")))  # a name alone means every version
    assert allowed(replace(JOB, module=NamedModule("stats", "1.2.0")))
    refused(replace(JOB, module=NamedModule("stats", "1.1.0")), says="may not run stats@1.1.0")
    refused(replace(JOB, module=NamedModule("stats")), says="may not run stats")


def test_another_export_of_the_module() -> None:
    """By a description of the job's own, which goes before the module's."""
    refused(replace(JOB, abi=Abi(entry="wipe")), says="leave the job's description (entry, abi) out")
    refused(replace(JOB, abi=Abi(alloc="wipe")))
    refused(replace(JOB, abi=Abi(memory="secrets")))


def test_a_description_that_says_nothing_new() -> None:
    """It still goes before the module's own: the default one's entry may be another than that."""
    refused(replace(JOB, abi=DEFAULT_ABI))


def test_a_description_by_a_key_that_is_not_limited() -> None:
    assert allowed(replace(JOB, abi=Abi(entry="resize")), replace(KEY, modules=None))


def test_bytes_that_come_along() -> None:
    inline = replace(JOB, module=InlineModule(WASM))
    by_digest = replace(KEY, modules=frozenset({f"sha256:{DIGEST}"}))
    refused(inline, says="no role 'inline'")
    refused(inline, says="no role 'inline'", key=by_digest)
    both = frozenset(Role)
    refused(inline, says="may not run sha256:", key=replace(KEY, roles=both))
    assert allowed(inline, replace(by_digest, roles=both))
    refused(replace(inline, abi=Abi(entry="wipe")), key=replace(by_digest, roles=both))


def test_the_digest_of_another_module() -> None:
    refused(replace(JOB, module=DigestModule(DIGEST)), says="may not run sha256:")
    assert allowed(replace(JOB, module=DigestModule(DIGEST)), replace(KEY, modules=frozenset({f"sha256:{DIGEST}"})))


def test_another_group_or_device() -> None:
    refused(replace(JOB, audience="group/stable"), SignatureError, "for group/stable")
    refused(replace(JOB, audience="device/pi-2"), SignatureError, "for device/pi-2")
    refused(JOB, says="may not address group/barn", key=replace(KEY, groups=frozenset({"attic"})))
    refused(replace(JOB, audience="device/pi-1"), says="may not", key=replace(KEY, groups=frozenset({"attic"})))
    refused(replace(JOB, audience=None), SignatureError, "audience")


def test_a_groups_job_given_to_one_of_its_members() -> None:
    """Whoever may publish to a device's topic may leave the others out: each of them is in the audience."""
    assert allowed(JOB, route=DEVICE_JOB)


def test_no_end_or_a_late_one() -> None:
    refused(replace(JOB, expires_at=None), SignatureError, "expires_at")
    refused(replace(JOB, expires_at=NOW + DEFAULT_HORIZON_S + 1), SignatureError, "ahead")


def test_more_than_the_device_grants() -> None:
    """Admitted, and capped when it runs: a job asks for less, never for more."""
    device = Limits(fuel=100, memory_bytes=1 << 20)
    asked = replace(JOB, limits=Limits(fuel=10**12, memory_bytes=1 << 30))
    assert allowed(asked)
    assert asked.limits.capped_by(device) == device


def test_inputs_beyond_the_devices_bound() -> None:
    size = SIGNED.limits.input_bytes
    refused(replace(JOB, inputs=(bytes(size + 1),)), InputTooLargeError)
    refused(replace(JOB, inputs=(bytes(size), b"x"), batch=True), InputTooLargeError)


def test_a_priority_before_all_others() -> None:
    """No key is limited in this: who may run jobs may say which is urgent, within the protocol's bounds."""
    assert allowed(replace(JOB, priority=100))
    with pytest.raises(EnvelopeError):
        encode_job(replace(JOB, priority=101))


def test_retained_for_later() -> None:
    decision = decide(Message(sign(JOB, kid=KEY.kid), retain=True), policy())
    assert not isinstance(decision, Admitted)
    assert type(decision.error) is RetainedJobError


def test_the_plain_topic_beside_the_signed_one() -> None:
    """It bears no signature: it runs what the configuration opened, whatever a key's scope is."""
    run = Route(RouteKind.RUN, "pi-1", item="append")
    decision = decide(b"x", policy(), run)
    assert not isinstance(decision, Admitted)
    assert isinstance(decide(b"x", replace(policy(), open_modules=frozenset({"append"})), run), Admitted)


def test_a_key_without_roles() -> None:
    refused(JOB, says="no role", key=replace(KEY, roles=frozenset()))


def test_the_page_lists_every_test_and_no_other() -> None:
    chapter = PAGE.read_text().partition("## What a key may do")[2].partition("\n## ")[0]
    listed = re.findall(r"`(test_\w+)`", chapter)
    here = [name for name in globals() if name.startswith("test_") and "_page_" not in name]
    assert sorted(listed) == sorted(here)


def test_the_page_names_tests_that_exist() -> None:
    files = list((PAGE.parents[1] / "tests").rglob("test_*.py"))
    tests = "\n".join(path.read_text() for path in files)
    whole = {path.stem for path in files}
    named = re.findall(r"`(test_\w+)`", PAGE.read_text())
    assert len(named) > 20
    assert [name for name in named if name not in whole and f"def {name}(" not in tests] == []
