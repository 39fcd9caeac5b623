"""Bytes made worse, from seeds: the same random generator gives the same attacks."""

from __future__ import annotations

import random
from collections.abc import Sequence

_NUMBERS = (0, 1, 0x17, 0x18, 0x7F, 0x80, 0xFE, 0xFF)


def mutated(seeds: Sequence[bytes], chance: random.Random, *, longest: int = 1 << 16) -> bytes:
    """One of ``seeds`` after a few changes: bits, numbers, cuts, repeats, and pieces of other seeds."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 1, 2, 6))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at % len(data)] = chance.choice(_NUMBERS)
            case 2:
                del data[at : at + chance.choice((1, 2, 8, 64))]
            case 3:
                data[at:at] = chance.randbytes(chance.choice((1, 2, 8)))
            case 4:
                data[at:at] = data[at : at + chance.choice((1, 4, 32))] * chance.choice((1, 2, 50))
            case 5:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.choice((4, 32, 256))]
            case _:
                data[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x80" * 4)
                )
    return bytes(data[:longest])
