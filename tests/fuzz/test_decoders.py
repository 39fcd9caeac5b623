"""FAULTS 22-24: whatever bytes come, a decoder returns a value or says what is wrong with them, and nothing else.

A value that was accepted is the same after being encoded and decoded again. ``WASPI_FUZZ_S=n`` fuzzes for n seconds,
``WASPI_SEED=n`` with that seed; what once failed lies in ``corpus/decoders`` and is tried first. ``make fuzz`` does the
same guided by coverage.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.fuzz.decoders import CORPUS, TARGETS, check
from tests.fuzz.mutation import mutated

SECONDS = float(os.environ.get("WASPI_FUZZ_S", "1.0"))


@pytest.mark.parametrize("name", TARGETS)
def test_first_seed_of_every_target_is_taken(name: str) -> None:
    assert check(name, TARGETS[name][2][0]), "from a seed that is refused a fuzzer hardly gets inside"


@pytest.mark.parametrize("name", TARGETS)
def test_fault_23_decoders_take_or_refuse_whatever_bytes_come(name: str) -> None:
    seeds = TARGETS[name][2]
    for known in sorted(CORPUS.glob(f"{name}-*")):
        check(name, known.read_bytes())
    seed = int(os.environ.get("WASPI_SEED", random.randrange(1 << 32)))  # noqa: S311 - a seed
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    end = time.monotonic() + SECONDS
    tried = taken = 0
    while time.monotonic() < end:
        data = mutated(seeds, chance)
        tried += 1
        try:
            taken += check(name, data)
        except Exception as error:
            raise AssertionError(f"{name}: seed {seed}, try {tried}: {data!r}") from error
    assert tried > 100, f"{name}: {tried} tries in {SECONDS} s"
