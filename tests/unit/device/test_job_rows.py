"""A job on its way through the journal: what its publisher and its terms are is not forgotten."""

from __future__ import annotations

import pytest

from waspi.device.job import Job, Receipt, job_of_row
from waspi.model.job import Job as Request
from waspi.model.module import DigestModule
from waspi.protocol import cbor

DIGEST = "ab" * 32


def job(publisher: str, own_terms: tuple[str, ...]) -> Job:
    return Job(
        "job-1",
        bytes(32),
        "topic",
        f"sha256:{DIGEST}",
        Request("job-1", DigestModule(DIGEST), (b"input\0of any bytes",)),
        5,
        1.0,
        2.0,
        None,
        None,
        publisher=publisher,
        own_terms=own_terms,
        blameless=bool(own_terms),
    )


@pytest.mark.parametrize("publisher", ["", "ops"])
@pytest.mark.parametrize("own_terms", [(), ("fuel-limit",), ("fuel-limit", "missing-export")])
def test_who_sent_it_and_under_which_terms_outlives_the_disk(publisher: str, own_terms: tuple[str, ...]) -> None:
    before = job(publisher, own_terms)
    after = job_of_row(before.to_receipt(), now=1.0, monotonic=2.0, found=True)
    assert after.receipt is Receipt.KEPT
    assert after.request == before.request
    assert (after.publisher, tuple(after.own_terms), after.blameless) == (publisher, own_terms, bool(own_terms))


def test_a_job_that_a_journal_of_version_1_calls_idempotent_is_still_a_job() -> None:
    before = job("", ())
    fields = cbor.decode(before.to_receipt().body, max_bytes=1000)
    assert isinstance(fields, dict)
    body = cbor.encode_sorted({**fields, "idempotent": True})
    assert job_of_row(before.to_row(body, 1), now=1.0, monotonic=2.0, found=True).request == before.request


@pytest.mark.parametrize("body", [b"", b"ops", b"ops\0", b"ops \xff\0\xa1", b"\xff", b"\0\0\0"])
def test_a_damaged_body_is_no_request(body: bytes) -> None:
    row = job("ops", ()).to_row(body, 0)
    assert job_of_row(row, now=1.0, monotonic=2.0, found=True).request is None
