from __future__ import annotations

from dataclasses import replace

import pytest

from waspi.errors import ConfigError, ExpiredError, NotAllowedError, SignatureError, WaspiError
from waspi.model.job import Job
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.protocol.job_envelope import decode_job, encode_job
from waspi.protocol.trust import DEFAULT_HORIZON_S, Role, TrustedKey, authorize

NOW = 1_800_000_000.0
KEY = TrustedKey("k1", bytes(32))
ONLY_APPEND = replace(KEY, modules=frozenset({"append"}))
BARN, INLINE = "group/barn", InlineModule(b"\0asm")
JOB = Job("j", NamedModule("append"), (b"",), audience="device/pi-1", expires_at=NOW + 60)
WASM_DIGEST = "cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f"


def check(job: Job, key: TrustedKey = KEY, now: float = NOW) -> None:
    authorize(job, key, device="pi-1", groups=frozenset({"barn", "all"}), now=now)


@pytest.mark.parametrize(
    ("job", "key"),
    [
        (JOB, KEY),
        (replace(JOB, audience="group/barn"), KEY),
        (replace(JOB, audience="group/barn"), replace(KEY, groups=frozenset({"barn"}))),
        (JOB, replace(KEY, groups=frozenset({"barn", "other"}))),
        (JOB, replace(KEY, modules=frozenset({"append"}))),
        (JOB, replace(KEY, roles=frozenset({Role.RUN}))),
        (replace(JOB, module=INLINE), KEY),
        (replace(JOB, module=INLINE), replace(KEY, modules=frozenset({f"sha256:{WASM_DIGEST}"}))),
        (replace(JOB, module=DigestModule(WASM_DIGEST)), replace(KEY, modules=frozenset({f"sha256:{WASM_DIGEST}"}))),
        (replace(JOB, expires_at=NOW + DEFAULT_HORIZON_S), KEY),
    ],
)
def test_allowed(job: Job, key: TrustedKey) -> None:
    check(job, key)


@pytest.mark.parametrize(
    ("job", "key", "error", "says"),
    [
        (replace(JOB, audience=None), KEY, SignatureError, "audience"),
        (replace(JOB, audience="device/pi-2"), KEY, SignatureError, "for device/pi-2, not for device pi-1"),
        (replace(JOB, audience="group/stable"), KEY, SignatureError, "for group/stable"),
        (replace(JOB, audience="group/pi-1"), KEY, SignatureError, "for group/pi-1"),
        (replace(JOB, audience="device/barn"), KEY, SignatureError, "for device/barn"),
        (replace(JOB, expires_at=None), KEY, SignatureError, "expires_at"),
        (replace(JOB, expires_at=NOW), KEY, ExpiredError, "expired 0 s ago"),
        (replace(JOB, expires_at=NOW - 100), KEY, ExpiredError, "expired 100 s ago"),
        (replace(JOB, expires_at=NOW + DEFAULT_HORIZON_S + 1), KEY, SignatureError, "604801 s ahead"),
        (replace(JOB, audience=BARN), replace(KEY, groups=frozenset({"all"})), NotAllowedError, "groups are all"),
        (JOB, replace(KEY, groups=frozenset({"stable"})), NotAllowedError, "groups are stable"),
        (JOB, replace(KEY, groups=frozenset()), NotAllowedError, "groups are none"),
        (JOB, replace(KEY, modules=frozenset({"other"})), NotAllowedError, "may not run append"),
        (JOB, replace(KEY, roles=frozenset()), NotAllowedError, "no role"),
        (replace(JOB, module=INLINE), replace(KEY, roles=frozenset({Role.RUN})), NotAllowedError, "'inline'"),
        (replace(JOB, module=INLINE), ONLY_APPEND, NotAllowedError, "sha256:cd5d"),
        (replace(JOB, module=DigestModule("0" * 64)), ONLY_APPEND, NotAllowedError, "sha256:0"),
    ],
)  # fmt: skip
def test_fault_15_and_16_refused(job: Job, key: TrustedKey, error: type[WaspiError], says: str) -> None:
    with pytest.raises(error, match=says):
        check(job, key)


@pytest.mark.parametrize(
    ("issued_at", "lost_s_ago", "allowed"),
    [
        (None, DEFAULT_HORIZON_S + 1, True),  # all that was signed before has expired
        (None, DEFAULT_HORIZON_S - 1, False),
        (NOW - 11, 10, False),
        (NOW - 10, 10, False),
        (NOW - 9, 10, True),
    ],
)
def test_fault_16_a_device_that_lost_its_memory_takes_what_was_signed_later(
    issued_at: float | None, lost_s_ago: float, *, allowed: bool
) -> None:
    job = replace(JOB, issued_at=issued_at)
    assert decode_job(encode_job(job)) == job

    def ask() -> None:
        authorize(job, KEY, device="pi-1", groups=frozenset(), now=NOW, memory_since=NOW - lost_s_ago)

    if allowed:
        ask()
    else:
        with pytest.raises(SignatureError, match=r"lost its memory of jobs .* sign it again"):
            ask()


def test_keys_of_a_wrong_form() -> None:
    with pytest.raises(ConfigError, match="32 bytes, not 31"):
        TrustedKey("k1", bytes(31))
    with pytest.raises(ConfigError, match="key id"):
        TrustedKey("K 1", bytes(32))
