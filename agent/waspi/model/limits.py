"""Limits of one run."""

from __future__ import annotations

from dataclasses import dataclass


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
        return Limits(
            _least(self.fuel, device.fuel),
            _least(self.memory_bytes, device.memory_bytes),
            _least(self.time_ms, device.time_ms),
            _least(self.output_bytes, device.output_bytes),
            _least(self.log_bytes, device.log_bytes),
        )


def _least(mine: int | None, theirs: int | None) -> int | None:
    return theirs if mine is None else mine if theirs is None else min(mine, theirs)


DEFAULT_LIMITS = Limits(
    fuel=10_000_000_000,
    memory_bytes=64 * 1024 * 1024,
    time_ms=10_000,
    output_bytes=4 * 1024 * 1024,
    log_bytes=64 * 1024,
)
"""What a device grants when its configuration does not say otherwise."""
