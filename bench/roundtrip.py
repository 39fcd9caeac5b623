"""Round trips through a real mosquitto: the agent against a raw paho echo, in turns on one broker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tests.simulators.mosquitto import Mosquitto

from bench.disk import DiskProbe, file_system
from bench.figure import Figure, percentile
from bench.requester import Requester
from bench.responder import Agent, Echo
from bench.section import Section
from bench.target import Target

if TYPE_CHECKING:
    from bench.session import Session

NAME = "roundtrip"
ROUNDS: Final = 30
SINGLES: Final = 50
"""Requests a round with one under way."""
BURST: Final = 500
"""Requests a round with ``WINDOW`` under way."""
WINDOW: Final = 50
SYNCS: Final = 25
"""Samples of the disk a round."""
P50, P99, RATE, SYNC = "round trip p50", "round trip p99", f"window {WINDOW}", "fdatasync"
ECHO, RELAXED, FULL = "raw paho echo", "waspi, relaxed", "waspi, durable"


def measure(session: Session) -> Section:
    """Each round: some single requests, a burst, and some syncs of the disk."""
    section = Section(
        NAME,
        "A job over MQTT",
        f"One client, one mosquitto on loopback, in turns: a paho program that sends back what it gets; the agent with "
        f'`sync = "off"` on {file_system(session.memory)}; the agent with its durable journal on '
        f"{file_system(session.disk)}. A job is a fresh instance of the reference guest in a sandboxed worker. In "
        "each round the disk is asked, too: a page written over what is there, then `fdatasync`.",
        ECHO,
    )
    rounds = session.count(ROUNDS)
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(session.memory / "roundtrip-broker"))
        client = stack.enter_context(Requester(broker.url))
        probe = stack.enter_context(DiskProbe(session.disk))
        responders: dict[str, Echo | Agent] = {
            ECHO: Echo(broker.port),
            RELAXED: Agent(session.memory / "relaxed", broker.url, "relaxed", sync="off"),
            FULL: Agent(session.disk / "durable", broker.url, "durable"),
        }
        for name, responder in responders.items():
            session.say(f"{name}: warming up")
            stack.enter_context(responder)
            client.until_ready(responder)
            client.per_second(responder, BURST, WINDOW)
        singles: dict[str, list[float]] = {name: [] for name in responders}
        rates: dict[str, list[float]] = {name: [] for name in responders}
        syncs: list[float] = []
        beyond: dict[str, list[float]] = {RELAXED: [], FULL: []}
        names = list(responders)
        for turn in range(rounds):
            session.say(f"round {turn + 1} of {rounds}")
            now: dict[str, float] = {}
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if name == FULL:  # next to what shall be judged by it: others use the disk, too
                    syncs += (asked := [probe.fdatasync_us() for _ in range(SYNCS)])
                    now[SYNC] = percentile(asked, 0.5)
                singles[name] += (taken := [client.round_trip_us(responders[name]) for _ in range(SINGLES)])
                now[name] = percentile(taken, 0.5)
                rates[name].append(client.per_second(responders[name], BURST, WINDOW))
            beyond[RELAXED].append(now[RELAXED] - now[ECHO])
            beyond[FULL].append(now[FULL] - now[ECHO] - now[SYNC])
    for name in names:
        p99 = percentile(singles[name], 0.99)
        section.figures += [
            Figure.of(name, P50, "us", singles[name]),
            Figure(name, P99, "us", p99, p99, p99, len(singles[name])),
            Figure.of(name, RATE, "jobs/s", rates[name]),
        ]
    section.figures.append(Figure.of("the disk", SYNC, "us", syncs))
    section.targets = _targets(section, {name: percentile(each, 0.5) for name, each in beyond.items()})
    return section


def _targets(section: Section, beyond: dict[str, float]) -> list[Target]:
    """``beyond``: medians of what a round's round trip took more than it may by nature, microseconds."""
    echo, relaxed, full = (section.median(name, RATE) or 0.0 for name in (ECHO, RELAXED, FULL))
    return [
        Target("round trip beyond the echo's, relaxed", beyond[RELAXED], 1500, "us"),
        Target("round trip beyond the echo's and one sync, durable", beyond[FULL], 350, "us"),
        Target(f"jobs/s of the echo's at window {WINDOW}, relaxed", relaxed / echo, 0.7, "x", at_most=False),
        Target(f"jobs/s of the echo's at window {WINDOW}, durable", full / echo, 0.75, "x", at_most=False),
    ]
