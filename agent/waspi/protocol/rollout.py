"""Which devices a stage of a rollout takes in: every device can tell by itself, so that no server keeps a list.

The definition, to the byte: let ``h`` be the SHA-256 of the device id's UTF-8 bytes followed at once by the release's
UTF-8 bytes (no separator, no terminator), read as an unsigned big-endian integer of 256 bits. The device's bucket is
``h mod 10000``; it is in the stage when the bucket is below ``percent * 100``, where ``percent`` has at most two
decimals. A device in a stage is so in every larger one of the same release; another release draws anew.
"""

from __future__ import annotations

import hashlib
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol.ids import shown

BUCKETS: Final = 10_000


def bucket(device_id: str, release: str) -> int:
    """The bucket of a device for a release: 0 to 9999."""
    return int.from_bytes(hashlib.sha256(device_id.encode() + release.encode()).digest()) % BUCKETS


def in_stage(device_id: str, release: str, percent: float) -> bool:
    """Whether the device is among the first ``percent`` (0 to 100, in steps of 0.01) of the release.

    Raises :class:`EnvelopeError` for a percentage out of that range or finer.
    """
    return bucket(device_id, release) < hundredths(percent)


def hundredths(percent: float) -> int:
    """``percent`` in hundredths of a per cent, which is how many buckets are in: 0 to 10000.

    Raises :class:`EnvelopeError` for a percentage below 0, above 100 or finer than 0.01.
    """
    whole = round(percent * 100) if 0 <= percent <= 100 else -1  # noqa: PLR2004 - per cent
    # 1.1 * 100 is 110.00000000000001: without the rounding one bucket too many would be in.
    if whole < 0 or abs(percent * 100 - whole) > 1e-6:  # noqa: PLR2004 - far below a hundredth
        raise EnvelopeError(f"stage of {shown(percent)} per cent: 0 to 100 in steps of 0.01 is expected")
    return whole
