"""What ``guests/spectrum`` must give, by the definition of the discrete Fourier transform."""

from __future__ import annotations

import cmath
import struct


def spectrum(data: bytes) -> list[float]:
    """Magnitudes of the zero-padded samples: float32 little-endian in, N/2 + 1 doubles out."""
    samples = [value for (value,) in struct.iter_unpack("<f", data)]
    if not samples:
        return []
    size = 1
    while size < len(samples):
        size *= 2
    turns = [cmath.exp(-2j * cmath.pi * k / size) for k in range(size)]
    return [abs(sum(x * turns[k * t % size] for t, x in enumerate(samples))) for k in range(size // 2 + 1)]
