"""What the journal keeps: a row per job, a row per message that still has to reach the broker."""

from __future__ import annotations

from waspi.model.state import JobState
from waspi.model.value import value


@value
class JobRow:
    """One job as the device knows it. Times are Unix seconds."""

    id: str
    """The job's id; a plain delivery gets one from the device."""
    body_hash: bytes
    """SHA-256 (32 bytes) of the message's payload: what tells a duplicate from a reused id."""
    state: JobState
    """``QUEUED`` until the job is final: whether it waits or runs is not the disk's business."""
    received_at: float
    topic: str
    """Topic that the job came on."""
    module: str
    """``sha256:<digest>`` of the module, behind ``<name>@<version>#`` where it was named."""
    body: bytes
    """All that is needed to run the job, as the caller encodes it; empty once the job is final."""
    seq: int = 0
    """Order of arrival, given by the journal; 0 before the row is stored. Rises over the whole life of a device."""
    attempt: int = 0
    """Number of the start that is certain to have been near: 0 for a job that waited when its receipt was written."""
    priority: int = 0
    """Higher runs first."""
    expires_at: float | None = None
    reply_to: str | None = None
    """Response Topic of the request."""
    correlation: bytes | None = None
    """Correlation Data of the request."""
    plain: bool = False
    """Whether the job came the plain way: raw input in, raw output out."""
    delivery: int | None = None
    """MQTT packet identifier of a plain delivery, which has no id of its own to tell a redelivery by."""
    result: bytes | None = None
    """The stored result; ``None`` before the end, and after the result was dropped for space."""

    @property
    def label(self) -> str:
        """How a result names the module."""
        return self.module.partition("#")[0]

    @property
    def digest(self) -> str:
        """SHA-256 of the module's bytes, 64 hexadecimal digits."""
        return self.module[-64:]


@value
class OutboxEntry:
    """One message to publish at QoS 1."""

    topic: str
    payload: bytes
    correlation: bytes | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    job_id: str | None = None
    """Job that the message belongs to; the job's row is kept for as long as the message waits."""


@value
class OutboxRow:
    """A message in the outbox."""

    id: int
    """Rises over the whole life of a device, also across restarts; messages are to be published in this order."""
    entry: OutboxEntry
