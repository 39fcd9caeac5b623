"""The whole agent in simulated surroundings: one seed decides what happens, and the promise is held against a model.

``python -m tests.simulation.run [--seeds N] [--first N] [--seed N] [--steps N]`` (``make simulate``). The agent, its
journal and its protocol are the real ones; time, disk, power, network, broker and workers are simulated: crashes, lost
and reordered packets, a broker that forgets, a disk that refuses, clocks that jump, jobs that take the device down.
After each run everything heals, and then no job may be lost, answered in two ways, run without need, or blamed for
another's crash. A seed that fails is printed; ``--seed N`` shows it again. Exit status 1 when one failed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from tests.simulation.world import World, quick_folder
from waspi import backoff

STEPS = 90
"""Things that happen in a run; each eighth run is four times as long."""

Act = Callable[[World, random.Random], None]

ACTS: dict[Act, float] = {
    lambda world, chance: world.send(
        plain=chance.random() < 0.3,
        priority=chance.choice((0, 0, 0, 5, -5)),
        lives_s=chance.choice((None, None, 5.0, 600.0)),
    ): 12,
    lambda world, chance: world.send_many(chance.choice((5, 20))): 0.3,
    lambda world, _: world.send_fatal(): 0.3,
    lambda world, chance: world.send_again(chance.randrange(1000)): 3,
    lambda world, chance: world.send_conflict(chance.randrange(1000)): 2,
    lambda world, chance: world.cancel(chance.randrange(1000)): 2,
    lambda world, _: world.connect(): 6,
    lambda world, _: world.cut(): 2,
    lambda world, _: world.forget(): 0.5,
    lambda world, _: world.carry_up(): 20,
    lambda world, chance: world.carry_down(chance.choice((0, 0, 0, chance.randrange(1000)))): 16,
    lambda world, chance: world.carry_puback(chance.choice((0, 0, chance.randrange(1000)))): 12,
    lambda world, _: world.commit(): 16,
    lambda world, _: world.refuse(): 2,
    lambda world, _: world.turn(): 20,
    lambda world, chance: world.finish(chance.randrange(1000), fail=chance.random() < 0.2): 8,
    lambda world, chance: world.advance(chance.choice((0.01, 0.03, 1.0, 40.0))): 5,
    lambda world, chance: world.jump(chance.choice((-3600.0, 3600.0, -1e8))): 0.3,
    lambda world, _: world.broker_refuses(refuses=True): 1,
    lambda world, _: world.broker_refuses(refuses=False): 4,
    lambda world, _: world.publisher_away(away=True): 1,
    lambda world, _: world.publisher_away(away=False): 2,
    lambda world, _: world.crash(): 2,
    lambda world, _: world.stop(): 0.5,
}
"""What can happen, and how often it does."""


def simulate(seed: int, steps: int = STEPS) -> None:
    """One run; raises ``AssertionError`` when the promise was broken. Half of them commit at once, half wait."""
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    folder = quick_folder()
    with mock.patch.object(backoff, "random", SimpleNamespace(Random=lambda: random.Random(seed))):  # noqa: S311 - a seed
        _simulate(chance, folder, steps * (4 if seed % 8 == 0 else 1))


def _simulate(chance: random.Random, folder: Path, steps: int) -> None:
    world = World(folder, at_once=chance.random() < 0.5)
    acts, weights = list(ACTS), list(ACTS.values())
    try:
        world.connect()
        for _ in range(steps):
            act = chance.choices(acts, weights)[0]
            act(world, chance)
            if world.doomed:
                world.crash()
        world.check()
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def outcome(seed: int, steps: int) -> tuple[int, str]:
    """Why the run of a seed failed, empty when it did not."""
    try:
        simulate(seed, steps)
    except Exception:  # noqa: BLE001 - whatever it is, it is told with its seed
        return seed, traceback.format_exc()
    return seed, ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run many seeds on all cores, or one; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="so many runs (default 1000)")
    parser.add_argument("--first", type=int, metavar="N", help="the first seed (default: a random one)")
    parser.add_argument("--seed", type=int, metavar="N", help="this one alone, with the agent's log")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"things that happen (default {STEPS})")
    options = parser.parse_args(argv)
    if options.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        _, why = outcome(options.seed, options.steps)
        print(why or f"seed {options.seed}: nothing lost, nothing told in two ways")
        return 1 if why else 0
    logging.disable(logging.CRITICAL)
    first = options.first if options.first is not None else random.randrange(1 << 31)  # noqa: S311 - a seed
    begun, failed = time.monotonic(), 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as processes:
        seeds = range(first, first + options.seeds)
        for seed, why in processes.imap_unordered(partial(outcome, steps=options.steps), seeds, chunksize=8):
            if why:
                failed += 1
                for line in islice(reversed(why.rstrip().splitlines()), 4):
                    print(f"  {line}")
                print(f"seed {seed} failed: make simulate SEED={seed}", flush=True)
    print(
        f"simulation: {options.seeds} seeds from {first}, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
