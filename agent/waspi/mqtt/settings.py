"""What a session with a broker is made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waspi.mqtt.address import BrokerAddress


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for TLS; without ``ca`` the system's certificates are trusted."""

    ca: Path | None = None
    certificate: Path | None = None
    """Client certificate (mTLS), PEM."""
    key: Path | None = None
    """Its private key, PEM, not encrypted."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection is lost (MQTT 5.0, 3.1.2.5)."""

    topic: str
    payload: bytes
    retain: bool = True
    delay_s: int = 10
    """Seconds that the broker waits, so that a short loss of the link is not told."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One client's session with one broker."""

    address: BrokerAddress
    client_id: str
    tls: Tls | None = None
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 60
    clean_start: bool = False
    session_expiry_s: int = 7 * 24 * 3600
    receive_maximum: int = 32
    """QoS 1 messages that the broker may have unacknowledged toward this client."""
    max_packet_bytes: int = 8 * 1024 * 1024
    """Largest packet that is accepted; told to the broker and enforced here."""
    window: int = 64
    """QoS 1 publishes in flight at most; never above the broker's own Receive Maximum."""
    connect_timeout_s: float = 10.0
    will: Will | None = None
