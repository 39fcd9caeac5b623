"""``[updates]``: where updates come from and how they prove themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waspi.updates.lifecycle import TrialTerms
from waspi.updates.schedule import ScheduleTerms


@dataclass(frozen=True, slots=True)
class UpdatesConfig:
    """Everything that updates are told; a device without it takes none."""

    root: Path
    """File with the repository's first root metadata: trust begins there."""
    url: str
    """``https://…`` of the repository; empty: from the depots on MQTT."""
    ca: Path | None
    """File with the certificate of the authority that ``url`` is to be trusted by (PEM), instead of the system's."""
    redirect_hosts: tuple[str, ...]
    """Hosts (``name`` or ``name:port``) that the server at ``url`` may send to, besides itself."""
    range_bytes: int
    """Bytes asked for at once; smaller on links where a packet of that size takes seconds."""
    window: int
    """Ranges asked for at once, at most."""
    schedule: ScheduleTerms
    trial: TrialTerms
    trial_s: float
    """Seconds after which a trial is over although fewer jobs came."""
