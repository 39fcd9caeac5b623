"""What a depot gets through to fifty devices at once, against a program that only publishes."""

from __future__ import annotations

import hashlib
import random
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.simulators.mosquitto import Mosquitto
from tests.simulators.repository_site import Site

from bench.crowd import Crowd, File
from bench.figure import Figure, percentile
from bench.process_memory import ProcessMemory
from bench.program import running
from bench.section import Section
from bench.target import Target
from waspi.model.release import Release
from waspi.protocol.depot import MAX_RANGE
from waspi.protocol.repository_path import module_target, target_path

if TYPE_CHECKING:
    import subprocess

    from bench.session import Session

NAME = "depot"
ROUNDS: Final = 9
DEVICES: Final = 50
SIZE: Final = 1_000_000
RATE, CPU, MEMORY = "throughput", "CPU of the sender per MB", "memory"
RAW, DEPOT = "raw paho publisher", "waspi depot"
_MB: Final = 1e6
_RATE_MIB: Final = 4096
"""The depot's own bound, out of the way."""


def measure(session: Session) -> Section:
    """In turns: the publisher sends a module to each device; each device fetches it from the depot."""
    section = Section(
        NAME,
        f"{DEVICES} devices at once",
        f"A module of 1 MB to {DEVICES} sessions, one mosquitto on loopback, QoS 1, parts of 64 KiB, in turns: a paho "
        "program that publishes them, 64 under way; a depot that is asked for each, 8 by each device at once. The "
        "devices are the same one process in both cases and only count. Broker, devices and sender share the cores.",
        RAW,
    )
    rates: dict[str, list[float]] = {RAW: [], DEPOT: []}
    cpus: dict[str, list[float]] = {RAW: [], DEPOT: []}
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(session.memory / "depot-broker"))
        site = Site(session.disk / "depot", now=datetime.now(UTC))
        content = random.Random(50).randbytes(SIZE)  # noqa: S311 - contents
        digest = hashlib.sha256(content).hexdigest()
        site.repository.add(Release("append", "1.0.0", digest, len(content)), content)
        site.repository.publish()
        file = File(target_path(module_target("append", "1.0.0"), digest), SIZE)
        stored = site.folder / file.path
        arguments = [str(broker.port), str(stored), str(DEVICES), str(MAX_RANGE)]
        publisher = stack.enter_context(running(["-m", "bench.peers.paho_publisher", *arguments]))
        options = ["--repo", str(site.folder), "--broker", broker.url, "--rate-mib", str(_RATE_MIB)]
        depot = stack.enter_context(running(["-m", "waspi", "depot", *options], ready="serving"))
        crowd = stack.enter_context(Crowd(broker.url, DEVICES))
        crowd.fetched(file)  # which warms both up, and waits for the publisher
        crowd.pushed(SIZE)
        for turn in range(rounds := session.count(ROUNDS)):
            session.say(f"round {turn + 1} of {rounds}")
            for name, process in ((RAW, publisher), (DEPOT, depot)):
                before = _cpu_ms(process)
                rates[name].append((crowd.pushed(SIZE) if name == RAW else crowd.fetched(file)) / _MB)
                cpus[name].append((_cpu_ms(process) - before) * _MB / (SIZE * DEVICES))
        memory = {RAW: ProcessMemory.settled(publisher.pid).pss, DEPOT: ProcessMemory.settled(depot.pid).pss}
    for name in (RAW, DEPOT):
        section.figures += [
            Figure.of(name, RATE, "MB/s", rates[name]),
            Figure.of(name, CPU, "ms", cpus[name]),
            Figure.of(name, MEMORY, "MiB", [memory[name]]),
        ]
    ratio = percentile([fetched / pushed for fetched, pushed in zip(rates[DEPOT], rates[RAW], strict=True)], 0.5)
    section.targets.append(
        Target(f"depot against raw publishing, {DEVICES} devices at once", ratio, 0.5, "x", at_most=False)
    )
    return section


def _cpu_ms(process: subprocess.Popen[str]) -> float:
    """Milliseconds of CPU that all threads of the process have used (proc(5), ``schedstat`` of each)."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6
