"""Limits of one run."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. ``None`` means: no limit from this side; a device's own limits cap a job's."""

    fuel: int | None = None
    """Metered Wasm operators."""
    memory_bytes: int | None = None
    """Bytes of linear memory, rounded down to whole pages of 64 KiB."""
    time_ms: int | None = None
    """Wall-clock milliseconds from instantiation to result."""
    output_bytes: int | None = None
    """Bytes of one output."""
    log_bytes: int | None = None
    """Bytes kept of what the guest writes to stdout and stderr; the rest is dropped and marked."""

    def capped_by(self, device: Limits) -> Limits:
        """These limits, none of them above ``device``'s."""
        capped = {}
        for field in fields(self):
            mine: int | None = getattr(self, field.name)
            theirs: int | None = getattr(device, field.name)
            capped[field.name] = theirs if mine is None else mine if theirs is None else min(mine, theirs)
        return Limits(**capped)


DEFAULT_LIMITS = Limits(
    fuel=10_000_000_000,
    memory_bytes=64 * 1024 * 1024,
    time_ms=10_000,
    output_bytes=4 * 1024 * 1024,
    log_bytes=64 * 1024,
)
"""What a device grants when its configuration does not say otherwise."""
