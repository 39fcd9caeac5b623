"""Requests that are no jobs, signed: a cancel, a sync query.

COSE_Sign1 around ``{v: 1, what, audience, expires_at, body, reply_to?}``: ``what`` says which request it is, with the
job's id for a cancel, so that one cannot be passed off as another; ``audience`` is ``device/<id>``; ``body`` is the
request as it would be sent unsigned; ``reply_to`` is the Response Topic of one that is answered. Under the policy
``jobs = "signed"`` a device takes no others: what changes or reveals something is signed like a job.
"""

from __future__ import annotations

from typing import Final

from waspi.errors import ExpiredError, NotAllowedError, SignatureError
from waspi.protocol import cbor, cose, field
from waspi.protocol.policy import JobsPolicy, Policy

MAX_BYTES: Final = 128 * 1024
"""The whole message."""
SYNC_QUERY: Final = "sync-query"
"""``what`` of a sync query."""
_KEYS: Final = frozenset(("v", "what", "audience", "expires_at", "body", "reply_to"))


def cancel_of(job_id: str) -> str:
    """``what`` of a cancel of that job."""
    return f"cancel/{job_id}"


def sign_request(
    body: bytes, *, what: str, device: str, expires_at: int, seed: bytes, kid: str, reply_to: str | None = None
) -> bytes:
    """Sign a request for ``device``; ``expires_at`` is Unix time in seconds. Raises as :func:`cose.sign` does."""
    fields: dict[str, object] = {
        "v": field.VERSION,
        "what": what,
        "audience": f"device/{device}",
        "expires_at": expires_at,
        "body": body,
    }
    if reply_to is not None:
        fields["reply_to"] = reply_to
    return cose.sign(cbor.encode(fields), seed=seed, kid=kid)


def open_request(policy: Policy, message: bytes, *, what: str, now: float, reply_to: str | None = None) -> bytes:
    """The request inside ``message``, which came with the Response Topic ``reply_to``, at Unix time ``now``.

    An unsigned one is given back as it is where the policy takes such. Raises :class:`EnvelopeError`,
    :class:`SignatureError`, :class:`ExpiredError` and :class:`NotAllowedError`.
    """
    if not cose.is_signed(message):
        if policy.jobs is JobsPolicy.SIGNED:
            raise SignatureError(f"this device takes signed requests only: sign the {what.partition('/')[0]}")
        return message
    payload, key = cose.verify(message, policy.keys, max_bytes=MAX_BYTES)
    fields = field.envelope(cbor.decode(payload, max_bytes=MAX_BYTES), "signed request", _KEYS)
    body = field.octets(fields.get("body"), "signed request: 'body'")
    expires_at = field.moment(fields.get("expires_at"), "signed request: 'expires_at'")
    if fields.get("what") != what or fields.get("audience") != f"device/{policy.device}":
        raise SignatureError(f"a signed request that is none of device {policy.device} for {what}")
    if fields.get("reply_to") != reply_to:
        raise SignatureError("the Response Topic is not the one that was signed")
    if expires_at <= now:
        raise ExpiredError(f"the signed request expired {now - expires_at:.0f} s ago by this device's clock")
    if expires_at > now + policy.horizon_s:
        raise SignatureError("the signed request expires too far ahead: sign it with an earlier expiry")
    if key.groups is not None and key.groups.isdisjoint(policy.groups):
        raise NotAllowedError(f"key {key.kid} may not address device {policy.device}")
    return body
