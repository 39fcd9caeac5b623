"""What a durable job costs the disk: bytes and syncs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.crash.faultfs import FaultFs
from tests.crash.power_cut import changes
from tests.simulators.mosquitto import Mosquitto

from bench.figure import Figure
from bench.requester import Requester
from bench.responder import Agent
from bench.section import Section
from bench.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.session import Session

NAME = "writes"
ROUNDS: Final = 5
SINGLES: Final = 100
WINDOW: Final = 50
BURST: Final = 500
"""Requests a round with ``WINDOW`` under way."""
BYTES, SYNCS = "written per job", "syncs per job"
ALONE, LOADED = "one job at a time", f"{WINDOW} jobs at a time"
QUIET_S: Final = 0.6
"""Longer than the journal lingers before it notes what the broker has acknowledged."""


def measure(session: Session) -> Section:
    """Bytes by the kernel's count for one agent; syncs by a shim under another, since a shim slows its agent down."""
    section = Section(
        NAME,
        "Wear of the disk",
        "Bytes: `write_bytes` of /proc/PID/io over a run of jobs, checkpoints of the journal included. Syncs: calls of "
        "fsync and fdatasync in a run of their own, under a shim that counts them.",
        ALONE,
    )
    log = session.memory / "writes.log"
    faults = FaultFs(session.disk / "counted" / "state", session.memory, log=log)
    with Mosquitto(session.memory / "writes-broker") as broker, Requester(broker.url) as client:
        with Agent(session.disk / "written", broker.url, "written") as agent:
            pid = agent.process.pid
            section.figures += _figures(session, client, agent, BYTES, "bytes", lambda: _written(pid))
        with Agent(session.disk / "counted", broker.url, "counted", environment=faults.environment()) as agent:
            section.figures += _figures(session, client, agent, SYNCS, "", lambda: _synced(log))
    faults.close()
    for subject, what, bound, unit in (
        (ALONE, SYNCS, 1.1, ""),  # checkpoints sync, too, once for some thousand pages
        (LOADED, SYNCS, 0.2, ""),
        (ALONE, BYTES, 8192, "bytes"),
        (LOADED, BYTES, 2048, "bytes"),
    ):
        found = section.median(subject, what)
        if found is not None:
            section.targets.append(Target(f"{what}, {subject}", found, bound, unit))
    return section


def _figures(
    session: Session, client: Requester, agent: Agent, what: str, unit: str, count: Callable[[], float]
) -> list[Figure]:
    """What ``count`` goes up by, per job."""
    client.until_ready(agent)
    client.per_second(agent, BURST, WINDOW)
    samples: dict[str, list[float]] = {ALONE: [], LOADED: []}
    rounds = session.count(ROUNDS)
    for turn in range(rounds):
        session.say(f"{what}: round {turn + 1} of {rounds}")
        before = _quiet(count)
        for _ in range(SINGLES):
            client.round_trip_us(agent)
        between = _quiet(count)
        client.per_second(agent, BURST, WINDOW)
        after = _quiet(count)
        samples[ALONE].append((between - before) / SINGLES)
        samples[LOADED].append((after - between) / BURST)
    return [Figure.of(subject, what, unit, values) for subject, values in samples.items()]


def _quiet(count: Callable[[], float]) -> float:
    time.sleep(QUIET_S)  # the agent finishes what it does after an answer
    return count()


def _written(pid: int) -> float:
    """Bytes that a process has had sent to storage (proc(5))."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        key, _, value = line.partition(": ")
        if key == "write_bytes":
            return float(value)
    raise RuntimeError("/proc/PID/io has no write_bytes; this kernel does not account for it")


def _synced(log: Path) -> float:
    """Syncs in the shim's log so far."""
    return float(sum(change.kind == "S" for change in changes(log)))
