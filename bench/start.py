"""From starting the process to the broker's word that the device is online."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.simulators.mosquitto import Mosquitto

from bench.figure import Figure
from bench.requester import Requester
from bench.responder import Agent, Echo
from bench.section import Section
from bench.target import Target

if TYPE_CHECKING:
    from bench.session import Session

NAME = "start"
ROUNDS: Final = 20
WHAT = "start to online"
BARE, ECHO, WASPI = "a bare interpreter (start to end)", "raw paho echo", "waspi agent"


def measure(session: Session) -> Section:
    """In turns: an interpreter that does nothing, the echo until it is subscribed, the agent until it is online."""
    section = Section(
        NAME,
        "Start",
        "From the fork of the process to its retained presence at a client that watches. The agent has a journal and a "
        "module cache on disk from its last life; .pyc files are there, as after an installation.",
        ECHO,
    )
    samples: dict[str, list[float]] = {BARE: [], ECHO: [], WASPI: []}
    rounds = session.count(ROUNDS)
    with Mosquitto(session.memory / "start-broker") as broker, Requester(broker.url) as client:
        responders: dict[str, Echo | Agent] = {
            ECHO: Echo(broker.port),
            WASPI: Agent(session.disk / "start", broker.url, "start"),
        }
        for turn in range(rounds + 1):
            session.say(f"round {turn} of {rounds}")
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            taken = {BARE: (time.perf_counter() - begin) * 1e3}
            for name, responder in responders.items():
                begin = time.perf_counter()
                with responder:
                    client.until_ready(responder)
                    taken[name] = (time.perf_counter() - begin) * 1e3
                client.seen.clear()
            if turn:  # the first is a new device's, with its journal to make
                for name, value in taken.items():
                    samples[name].append(value)
    section.figures = [Figure.of(name, WHAT, "ms", values) for name, values in samples.items()]
    online = section.median(WASPI, WHAT)
    if online is not None:
        section.targets.append(Target("agent's start to online", online, 700, "ms"))
    return section
