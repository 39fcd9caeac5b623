"""The call for states: a client asks a whole fleet who is there, and each device answers for itself.

Published to ``…/state-call`` with a Response Topic and Correlation Data, as CBOR ``{v: 1, spread_ms, first?, last?,
only?}``. A device whose part of the call is among ``first`` to ``last`` (0 to 9999, by default all), and whose id is
among ``only`` where that is there, answers on the Response Topic with ``{v: 1, device, presence, reported}``, the two
documents byte for byte as it publishes them. It waits for a share of ``spread_ms`` first, so that the answers of a
large fleet come at a pace that broker and client can take.

The draw, to the byte: the SHA-256 of the device's id, ``/`` and the Correlation Data. Its first 8 bytes, read as an
unsigned big-endian integer, modulo 10,000 are the device's part of this call; the next 4, divided by 2**32, are the
part of ``spread_ms`` that it waits.

The retained documents say less: brokers drop them when many wait for one client, or give none to a wildcard, and what
they say of a device that is there no more is old.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol import cbor, field
from waspi.protocol.ids import is_id, shown
from waspi.protocol.presence import MAX_BYTES as MAX_PRESENCE_BYTES
from waspi.protocol.reported import MAX_BYTES as MAX_REPORTED_BYTES

MAX_BYTES: Final = 32 * 1024
PARTS: Final = 10_000
"""A call divides the fleet into so many, anew each time."""
MAX_ONLY: Final = 256
"""Ids of one call."""
MAX_SPREAD_MS: Final = 600_000
_ANSWER_BYTES: Final = MAX_PRESENCE_BYTES + MAX_REPORTED_BYTES + 1024
_CALL_KEYS: Final = frozenset(("v", "spread_ms", "first", "last", "only"))
_ANSWER_KEYS: Final = frozenset(("v", "device", "presence", "reported"))


@dataclass(frozen=True, slots=True)
class StateCall:
    """Who is to answer, and within which time."""

    spread_ms: int
    first: int = 0
    last: int = PARTS - 1
    only: tuple[str, ...] = ()
    """Ids of the devices that are asked; empty: all."""

    def delay_s(self, device: str, correlation: bytes) -> float | None:
        """How long ``device`` waits before it answers, in seconds; ``None``: it is not asked."""
        if self.only and device not in self.only:
            return None
        drawn = hashlib.sha256(device.encode() + b"/" + correlation).digest()
        if not self.first <= int.from_bytes(drawn[:8]) % PARTS <= self.last:
            return None
        return self.spread_ms / 1000 * int.from_bytes(drawn[8:12]) / 2**32


@dataclass(frozen=True, slots=True)
class StateAnswer:
    """What a device says of itself."""

    device: str
    presence: bytes
    """A document of :mod:`waspi.protocol.presence`, not decoded: a broken one is its device's mark."""
    reported: bytes
    """The same of :mod:`waspi.protocol.reported`."""


def encode_state_call(call: StateCall) -> bytes:
    """Encode; raises :class:`EnvelopeError` for more than MAX_ONLY ids."""
    if len(call.only) > MAX_ONLY:
        raise EnvelopeError(f"state call: {len(call.only)} ids: {MAX_ONLY} fit into a call")
    only = {"only": list(call.only)} if call.only else {}
    return cbor.encode(
        {"v": field.VERSION, "spread_ms": call.spread_ms, "first": call.first, "last": call.last, **only}
    )


def decode_state_call(data: bytes) -> StateCall:
    """Decode a call; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_BYTES), "state call", _CALL_KEYS)
    only = field.items(fields["only"], "state call: 'only'", most=MAX_ONLY) if "only" in fields else []
    for each in only:
        if type(each) is not str or not is_id(each):
            raise EnvelopeError(f"state call: 'only' holds {shown(each)}, which is no id")
    most = PARTS - 1
    return StateCall(
        spread_ms=field.integer(fields.get("spread_ms"), "state call: 'spread_ms'", most=MAX_SPREAD_MS),
        first=field.integer(fields.get("first", 0), "state call: 'first'", most=most),
        last=field.integer(fields.get("last", most), "state call: 'last'", most=most),
        only=tuple(str(each) for each in only),
    )


def encode_state_answer(answer: StateAnswer) -> bytes:
    """Encode deterministically."""
    # Keys in deterministic order, see cbor.encode_sorted.
    return cbor.encode_sorted(
        {"v": field.VERSION, "device": answer.device, "presence": answer.presence, "reported": answer.reported}
    )


def decode_state_answer(data: bytes) -> StateAnswer:
    """Decode an answer; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = field.envelope(cbor.decode(data, max_bytes=_ANSWER_BYTES), "state answer", _ANSWER_KEYS)
    return StateAnswer(
        device=field.identifier(fields, "device", "state answer"),
        presence=field.octets(fields.get("presence"), "state answer: 'presence'"),
        reported=field.octets(fields.get("reported"), "state answer: 'reported'"),
    )
