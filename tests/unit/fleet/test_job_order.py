from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from waspi.errors import EnvelopeError, OperatorError, TopicError, UsageError
from waspi.fleet.job_order import JobOrder
from waspi.fleet.key_file import KeyFile
from waspi.fleet.module_source import module_from
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.protocol.cose import verify
from waspi.protocol.job_envelope import decode_job
from waspi.protocol.trust import TrustedKey

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (f"sha256:{DIGEST}", DigestModule(DIGEST)),
        (f"sha256:{DIGEST.upper()}", DigestModule(DIGEST)),
        ("append", NamedModule("append")),
        ("append@1.0.0-rc.1", NamedModule("append", "1.0.0-rc.1")),
        (b"\0asm", InlineModule(b"\0asm")),
        (NamedModule("x"), NamedModule("x")),
    ],
)
def test_module_by_digest_name_or_bytes(text: str | bytes, reference: object) -> None:
    assert module_from(text) == reference


@pytest.mark.parametrize("text", ["", "sha256:12", "sha256:../x", "Not A Name", "name@", "a@b c", "#", "a+b"])
def test_text_that_is_no_module(text: str) -> None:
    with pytest.raises(UsageError):
        module_from(text)


def test_module_by_file_and_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "m.wasm"
    file.write_bytes(b"\0asm")
    assert module_from(str(file)) == module_from(file) == InlineModule(b"\0asm")
    with pytest.raises(OperatorError, match=r"gone\.wasm"):
        module_from(str(tmp_path / "gone.wasm"))


def test_same_order_encodes_to_the_same_bytes() -> None:
    orders = [JobOrder.make("append", b"x", device="pi-7", options={"job_id": "j", "priority": 2}) for _ in range(2)]
    assert orders[0].body == orders[1].body


def test_ids_of_orders_differ() -> None:
    ids = {JobOrder.make("append", b"x", device="pi-7", options={}).id for _ in range(100)}
    assert len(ids) == 100


def test_signed_order_names_audience_and_expiry(tmp_path: Path) -> None:
    key = KeyFile.create(tmp_path, "ops")
    order = JobOrder.make("append", b"x", group="attic", options={}, signing_key=key)
    payload, _ = verify(order.body, {"ops": TrustedKey("ops", key.public_bytes())}, max_bytes=10_000)
    job = decode_job(payload)
    assert job.audience == "group/attic"
    assert job.expires_at is not None
    assert job.expires_at == order.expires_at
    assert job.expires_at > time.time() + 3000


def test_what_can_be_seen_to_be_wrong_is_refused_here() -> None:
    with pytest.raises(TopicError):
        JobOrder.make("append", b"", device="+", options={})
    with pytest.raises(EnvelopeError, match="priority"):
        JobOrder.make("append", b"", device="pi-7", options={"priority": 101})
    with pytest.raises(UsageError, match="bytes-like"):
        JobOrder.make("append", 7, device="pi-7", options={})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="device or a group"):
        JobOrder.make("append", b"", options={})
    assert decode_job(JobOrder.make("a", memoryview(b"x"), device="d", options={}).body).inputs == (b"x",)


def test_an_option_that_there_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="no option 'expires_in'"):
        JobOrder.make("append", b"", device="pi-7", options={"expires_in": 5})  # type: ignore[typeddict-unknown-key]


def test_a_signed_job_without_an_expiry_is_the_same_bytes_within_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KeyFile.create(tmp_path, "ops")
    made = []
    for now in (1_800_000_000.5, 1_800_003_599.9, 1_800_003_600.0):
        monkeypatch.setattr("waspi.fleet.job_order.time", SimpleNamespace(time=lambda now=now: now))
        order = JobOrder.make("append", b"x", device="pi-7", signing_key=key, options={"job_id": "nightly"})
        assert order.expires_at is not None
        assert 3600 <= order.expires_at - now <= 7200
        made.append(order.body)
    assert made[0] == made[1] != made[2]
