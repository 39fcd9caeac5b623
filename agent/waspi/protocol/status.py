"""The status envelope: one change of a job's state. ``{v: 1, id, device, state, attempt, at}``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from waspi.model.state import JobState
from waspi.protocol import cbor, field

MAX_BYTES: Final = 1024
_KEYS: Final = frozenset(("v", "id", "device", "state", "attempt", "at"))
_STATES: Final = tuple(state.value for state in JobState)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A job came into a state."""

    id: str
    """Job id."""
    device: str
    state: JobState
    attempt: int
    """Number of the run, from 1; 0 before the first."""
    at: int
    """Unix time in milliseconds by the device's clock, which may be wrong."""


def encode_status(status: StatusChange) -> bytes:
    """Encode deterministically."""
    # Keys in deterministic order, see cbor.encode_sorted.
    return cbor.encode_sorted(
        {
            "v": field.VERSION,
            "at": status.at,
            "id": status.id,
            "state": status.state.value,
            "device": status.device,
            "attempt": status.attempt,
        }
    )


def decode_status(data: bytes) -> StatusChange:
    """Decode a state change; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_BYTES), "status", _KEYS)
    return StatusChange(
        id=field.identifier(fields, "id", "status"),
        device=field.identifier(fields, "device", "status"),
        state=JobState(field.member(fields.get("state"), "status: 'state'", _STATES)),
        attempt=field.integer(fields.get("attempt"), "status: 'attempt'"),
        at=field.integer(fields.get("at"), "status: 'at'", most=1000 * field.MAX_TIME),
    )
