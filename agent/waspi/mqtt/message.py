"""Messages as they pass the adapter, free of paho's types."""

from __future__ import annotations

from waspi.model.value import value


@value
class Incoming:
    """One PUBLISH from the broker (MQTT 5.0, 3.3)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    connection: int
    """Number of the connection that brought it: only that one may acknowledge it."""
    reply_to: str | None = None
    """Response Topic."""
    correlation: bytes | None = None
    """Correlation Data."""
    expires_in_s: int | None = None
    """Message Expiry Interval that is left."""
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


@value
class Outgoing:
    """One PUBLISH to the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    reply_to: str | None = None
    correlation: bytes | None = None
    expires_in_s: int | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


@value
class ServerLimits:
    """What the broker's CONNACK allows (MQTT 5.0, 3.2.2.3)."""

    receive_maximum: int = 65535
    max_packet_bytes: int | None = None
    keepalive_s: int | None = None
    session_expiry_s: int | None = None
    """``None``: as long as was asked for."""
    max_qos: int = 2
    retain: bool = True
    wildcards: bool = True
    shared: bool = True
    """Whether it says that it has shared subscriptions (``$share``)."""
    differences: tuple[str, ...] = ()
    """What the session gets less of than it asked for, as far as it was not told before: a sentence each."""
