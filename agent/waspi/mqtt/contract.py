"""What a broker's CONNACK grants, beside what was asked for (docs/PROTOCOL.md, "The broker")."""

from __future__ import annotations

from waspi.mqtt.message import ServerLimits
from waspi.mqtt.settings import LinkSettings

SMALL_WINDOW = 8
"""Messages in flight below which a client waits for the broker more than it works."""

_SMALL_PACKET = 16_384


def differences(asked: LinkSettings, granted: ServerLimits) -> tuple[str, ...]:
    """What the session gets less of than it asked for, and what follows; one sentence each (``str``)."""
    found = []
    if granted.max_qos < 1:
        found.append("the broker takes QoS 0 only: no message is certain to arrive; waspi needs QoS 1")
    if not granted.retain:
        found.append("the broker retains nothing: who connects later does not see which devices are there")
    if granted.session_expiry_s is not None and granted.session_expiry_s < asked.session_expiry_s:
        found.append(
            f"the broker keeps a session for {granted.session_expiry_s} s, not for the {asked.session_expiry_s} s that "
            "it was asked for: what is sent to a device that is away for longer is lost"
        )
    if granted.receive_maximum < min(asked.window, SMALL_WINDOW):
        found.append(f"the broker takes {granted.receive_maximum} messages at a time: each waits for the one before it")
    if asked.will is not None and granted.max_packet_bytes is not None and granted.max_packet_bytes < _SMALL_PACKET:
        found.append(
            f"the broker takes packets of {granted.max_packet_bytes} bytes at most: reported state may not fit, and "
            "results are sent in many parts"
        )
    return tuple(found)
