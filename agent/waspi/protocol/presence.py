"""Presence: retained JSON ``{"state": "online" | "offline", "boot": …, "since": …, "degraded"?: …}``, also the will."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waspi.protocol import field, json_document

MAX_BYTES: Final = 1024


class PresenceState(StrEnum):
    """Whether the device is connected."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a device is there, since when, and how well it is."""

    state: PresenceState
    boot: str
    """Id of this start of the agent: a will of an earlier one must not end a newer session. An id of the protocol."""
    since: int
    """Unix time in seconds by the device's clock: of the connect; in a will of the start."""
    degraded: str = ""
    """Why the device takes no jobs for now although it is online (``disk full``), else empty."""


def encode_presence(presence: Presence) -> bytes:
    """Encode as JSON; ``degraded`` is there only when it says something."""
    document: dict[str, object] = {"state": presence.state.value, "boot": presence.boot, "since": presence.since}
    if presence.degraded:
        document["degraded"] = presence.degraded[:256]
    return json_document.encode_document(document)


def decode_presence(data: bytes) -> Presence:
    """Decode; unknown keys are passed over. Raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = json_document.decode_document(data, "presence", max_bytes=MAX_BYTES)
    state = field.member(fields.get("state"), "presence: 'state'", (state.value for state in PresenceState))
    return Presence(
        state=PresenceState(state),
        boot=field.identifier(fields, "boot", "presence"),
        since=field.integer(fields.get("since"), "presence: 'since'", most=field.MAX_TIME),
        degraded=json_document.text_field(fields, "degraded", "presence") if "degraded" in fields else "",
    )


def supersedes(new: Presence, held: Presence | None) -> bool:
    """Whether ``new`` is news to somebody who holds ``held``.

    An ``offline`` of another boot than the one that is online is a will that came late: the agent has started again
    since, and it stays online.
    """
    return held is None or new.state is PresenceState.ONLINE or new.boot == held.boot
