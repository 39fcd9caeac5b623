"""The life of jobs over a network that loses, repeats and reorders, a disk that fills and an agent that dies.

Virtual time, one seed per run: a failure prints the seed that shows it again (``WASPI_SEED=n``), and
``WASPI_SIMULATIONS=n`` asks for more runs.
"""

from __future__ import annotations

import os
import random
import shutil

import pytest

from tests.unit.device.lifecycle import World, quick_folder

RUNS = int(os.environ.get("WASPI_SIMULATIONS", "25"))
STEPS = 350


def act(world: World, chance: random.Random) -> None:
    """One of the things that can happen."""
    number = chance.randrange(1_000)
    match chance.choices(
        ("send", "again", "conflict", "cancel", "connect", "cut", "forget", "up", "down", "puback", "commit", "refuse")
        + ("turn", "finish", "advance", "refusing", "taking", "crash"),
        (12, 3, 2, 2, 6, 2, 0.5, 20, 16, 12, 16, 2, 20, 8, 4, 1, 4, 2),
    )[0]:
        case "send":
            world.send(
                plain=chance.random() < 0.3,
                idempotent=chance.random() < 0.4,
                priority=chance.choice((0, 0, 0, 5, -5)),
                lives_s=chance.choice((None, None, 5.0, 600.0)),
            )
        case "again":
            world.send_again(number)
        case "conflict":
            world.send_conflict(number)
        case "cancel":
            world.cancel(number)
        case "connect":
            world.connect()
        case "cut":
            world.cut()
        case "forget":
            world.forget()
        case "up":
            world.carry_up()
        case "down":
            world.carry_down(chance.choice((0, 0, 0, number)))
        case "puback":
            world.carry_puback(chance.choice((0, 0, number)))
        case "commit":
            world.commit(chance.choice((1, 2, 100)))
        case "refuse":
            world.refuse()
        case "turn":
            world.turn()
        case "finish":
            world.finish(number, fail=chance.random() < 0.2)
        case "advance":
            world.advance(chance.choice((0.01, 1.0, 40.0)))
        case "refusing":
            world.broker_refuses(refuses=True)
        case "taking":
            world.broker_refuses(refuses=False)
        case "crash":
            world.crash(power_cut=chance.random() < 0.3)


@pytest.mark.parametrize("seed", [int(os.environ["WASPI_SEED"])] if "WASPI_SEED" in os.environ else range(RUNS))
def test_jobs_survive_a_hostile_network_disk_and_power_supply(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
    folder = quick_folder()
    world = World(folder)
    try:
        world.connect()
        for _ in range(STEPS):
            act(world, chance)
        world.check()
    finally:
        world.close()
        shutil.rmtree(folder)
