"""The life of jobs over a network that loses, repeats and reorders, a disk that fills and an agent that dies.

Virtual time, one seed per run: a failure prints the seed that shows it again (``WASPI_SEED=n``), and
``WASPI_SIMULATIONS=n`` asks for more runs.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable

import pytest

from tests.unit.device.lifecycle import World, quick_folder

RUNS = int(os.environ.get("WASPI_SIMULATIONS", "25"))
STEPS = 350


Act = Callable[[World, random.Random], None]

ACTS: dict[Act, float] = {
    lambda world, chance: world.send(
        plain=chance.random() < 0.3,
        priority=chance.choice((0, 0, 0, 5, -5)),
        lives_s=chance.choice((None, None, 5.0, 600.0)),
    ): 12,
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
    lambda world, chance: world.advance(chance.choice((0.01, 1.0, 40.0))): 4,
    lambda world, _: world.broker_refuses(refuses=True): 1,
    lambda world, _: world.broker_refuses(refuses=False): 4,
    lambda world, _: world.publisher_away(away=True): 1,
    lambda world, _: world.publisher_away(away=False): 2,
    lambda world, _: world.crash(): 2,
}
"""What can happen, and how often it does."""


@pytest.mark.parametrize("seed", [int(os.environ["WASPI_SEED"])] if "WASPI_SEED" in os.environ else range(RUNS))
@pytest.mark.parametrize("at_once", [False, True], ids=["committed later", "committed at once"])
def test_jobs_survive_a_hostile_network_disk_and_power_supply(seed: int, at_once: bool) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    folder = quick_folder()
    world = World(folder, at_once=at_once)
    try:
        world.connect()
        for _ in range(STEPS):
            (act,) = chance.choices(list(ACTS), list(ACTS.values()))
            act(world, chance)
        world.check()
    finally:
        world.close()
        shutil.rmtree(folder)
