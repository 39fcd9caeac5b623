"""What the agent holds in memory: idle, with a warm worker, over TLS."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from tests.simulators.mosquitto import Mosquitto

from bench.figure import Figure
from bench.process_memory import ProcessMemory
from bench.requester import Requester
from bench.responder import Agent, Echo
from bench.section import Section
from bench.target import Target
from waspi.fleet.authority import Authority
from waspi.mqtt.settings import Tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.session import Session

NAME = "memory"
ROUNDS: Final = 3
JOBS: Final = 500
PSS, ALONE = "PSS", "PSS as the only Python"
BARE, ECHO = "a bare interpreter", "raw paho echo"
IDLE, WORKED, WARM, SECURE = (
    "waspi agent, no worker",
    f"waspi agent, no worker, after {JOBS} jobs",
    "waspi agent and its warm worker",
    "waspi agent over TLS, no worker",
)
_SLEEPER = "import time; print(flush=True); time.sleep(600)"
# "user": started as root, mosquitto would become somebody who may not read this run's folder.
_TLS_LISTENER = "user root\nallow_anonymous true\ncafile {0}/ca.crt\ncertfile {0}/server.crt\nkeyfile {0}/server.key\n"


def measure(session: Session) -> Section:
    """One process at a time, each settled before it is read."""
    section = Section(
        NAME,
        "Memory of an agent",
        "Proportional set size of settled processes, from /proc. The second column counts the pages of the interpreter "
        "and its libraries whole: what the process would take if no other Python ran.",
        ECHO,
    )
    readings: dict[str, list[ProcessMemory]] = {}
    rounds = session.count(ROUNDS)
    for turn in range(rounds):
        session.say(f"round {turn + 1} of {rounds}")
        folder = session.memory / f"memory-{turn}"
        for name, reading in (*_plain(folder), *_secure(folder)):
            readings.setdefault(name, []).append(reading)
    for name, taken in readings.items():
        section.figures.append(Figure.of(name, PSS, "MiB", [reading.pss for reading in taken]))
        section.figures.append(Figure.of(name, ALONE, "MiB", [reading.alone for reading in taken]))
    idle = section.median(IDLE, PSS)
    if idle is not None:
        section.targets.append(Target("idle agent, PSS with no worker", idle, 20, "MiB"))
    return section


def _plain(folder: Path) -> Iterator[tuple[str, ProcessMemory]]:
    with subprocess.Popen([sys.executable, "-c", _SLEEPER], stdout=subprocess.PIPE) as bare:
        assert bare.stdout is not None  # noqa: S101 - it was given a pipe
        bare.stdout.readline()
        yield BARE, ProcessMemory.settled(bare.pid)
        bare.kill()
    with Mosquitto(folder / "broker") as broker, Requester(broker.url) as client:
        with Echo(broker.port) as echo:
            client.until_ready(echo)
            yield ECHO, ProcessMemory.settled(echo.pid)
        with Agent(folder / "agent", broker.url, "idle", idle_s=1) as agent:
            client.until_ready(agent)
            _until_no_worker(agent)
            yield IDLE, ProcessMemory.settled(agent.process.pid)
            client.per_second(agent, JOBS, 50)
            _until_no_worker(agent)
            yield WORKED, ProcessMemory.settled(agent.process.pid)
        with Agent(folder / "warm", broker.url, "warm") as agent:
            client.until_ready(agent)
            client.round_trip_us(agent)
            worker = agent.process.children()[0]
            yield WARM, ProcessMemory.settled(agent.process.pid) + ProcessMemory.settled(worker)


def _secure(folder: Path) -> Iterator[tuple[str, ProcessMemory]]:
    keys = folder / "keys"
    authority = Authority(keys, "ca")
    authority.issue_server(keys / "server.crt", keys / "server.key", ["127.0.0.1"], 1)
    ca = authority.certificate_path
    with Mosquitto(folder / "tls-broker", extra=_TLS_LISTENER.format(keys)) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        lines = f'will_delay_s = 0\n[broker.tls]\nca = "{ca}"'
        with Requester(url, Tls(ca=ca)) as client, Agent(folder / "tls", url, "tls", idle_s=1, broker=lines) as agent:
            client.until_ready(agent)
            _until_no_worker(agent)
            yield SECURE, ProcessMemory.settled(agent.process.pid)


def _until_no_worker(agent: Agent) -> None:
    end = time.monotonic() + 20
    while agent.process.children():
        if time.monotonic() > end:
            raise TimeoutError("the agent's workers did not leave")
        time.sleep(0.05)
