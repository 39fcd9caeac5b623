"""A soak: many jobs while agent, workers and broker are killed at random. Nothing may be lost, or told in two ways.

``python -m tests.crash.soak [--jobs N] [--kills N] [--seed N] [--minutes N]`` (``make soak``). Bounded in count and
time, all on loopback. Prints its seed first and a report last; exit status 1 when a job was lost or told in two ways,
or when the time was over before all jobs were answered.

A publisher keeps a window of jobs open and sends again, with the same id and body, what is not answered after a broker
or its own session was lost: as ``waspi push`` does. Runs are counted where the agent hands a job to a worker.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.integration.agent.conftest import APPEND, LOOP
from tests.simulators.agent_process import FLEET, TappedAgent
from tests.simulators.link_owner import LinkOwner
from tests.simulators.mosquitto import Mosquitto
from waspi._wasmer import wat2wasm
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, ModuleRef, NamedModule
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.topics import Topics

WINDOW = 150
RESEND_S = 8.0
"""Seconds without any answer after which everything open is sent again."""
BROKER_REST_S = 12.0
"""Seconds between two kills of the broker: connections shorter than 10 s look like a second client with the same id."""


@dataclass(slots=True)
class Tally:
    """What happened."""

    sent: int = 0
    resent: int = 0
    answered: int = 0
    repeated: int = 0
    runs: int = 0
    duplicates: int = 0
    losses: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} of the {who}" for who, count in sorted(self.kills.items()))
        states = ", ".join(f"{count} {state}" for state, count in self.states.most_common())
        return (
            f"jobs {self.answered} ({states}), runs {self.runs}, kills: {kills or 'none'}; sent again {self.resent}, "
            f"answered again {self.repeated}; duplicates {self.duplicates}, losses {self.losses}"
        )


class SoakPublisher(LinkOwner):
    """Sends jobs and keeps of each answer its hash, not the answer: memory stays flat."""

    def __init__(self, url: str, tally: Tally) -> None:
        self.topics = Topics(FLEET)
        super().__init__(url, "soak", filters=("reply/soak/#",))
        self.open: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self.last_answer = time.monotonic()
        self._tally = tally
        self._again: list[str] = []

    def on_message(self, message: Incoming) -> None:
        self.link.acknowledge(message)
        result = decode_result(message.payload)
        digest = sha256(message.payload).digest()
        self.last_answer = time.monotonic()
        before = self.answers.setdefault(result.id, digest)
        if self.open.pop(result.id, None) is not None:
            self._tally.answered += 1
            self._tally.states[result.state] += 1
            if result.state not in {JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT}:
                self._tally.faults.append(f"{result.id} ended {result.state}: {result.error}")
        elif before == digest:
            self._tally.repeated += 1
        else:
            self._tally.duplicates += 1
            self._tally.faults.append(f"{result.id} was answered in two ways")

    def on_online(self, session_present: bool, limits: object) -> None:
        super().on_online(session_present, limits)  # type: ignore[arg-type]
        self._again = list(self.open)  # what was in flight may be lost, and the device knows what it has

    def order(self, job: Job) -> None:
        """Open a job and send it."""
        self.open[job.id] = encode_job(job)
        self._tally.sent += 1
        self._send(job.id)

    def pump(self) -> None:
        """One turn of the loop, and what has to be sent again."""
        self.step(0.02)
        if time.monotonic() - self.last_answer > RESEND_S and self.open and self.link.online:
            self.last_answer = time.monotonic()
            self._again = list(self.open)
        while self._again and self.link.room > 0:
            name = self._again.pop()
            if name in self.open:
                self._tally.resent += 1
                self._send(name)

    def _send(self, name: str) -> None:
        if self.link.room > 0:
            topic = self.topics.device_job("pi-1")
            self.link.publish(Outgoing(topic, self.open[name], reply_to=f"reply/soak/{name}", correlation=b"s"))
        else:
            self._again.append(name)


class Soak:
    """Broker, agent and publisher, and the hand that kills."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.tally = Tally()
        self._chance = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be seen again
        self._store = folder / "store"
        self._store.mkdir(mode=0o777, parents=True)
        extra = f"allow_anonymous true\npersistence true\npersistence_location {self._store}/\nuser root\n"
        extra += "autosave_on_changes true\nautosave_interval 50\n"
        self.broker = Mosquitto(folder / "broker", extra=extra)
        (folder / "append.wasm").write_bytes(wat2wasm(APPEND))
        self._loop = wat2wasm(LOOP)
        rest = f'[modules.append]\npath = "{folder / "append.wasm"}"\n[status]\nreport = "none"\n'
        self.agent = TappedAgent(folder / "pi-1", self.broker.url, rest=rest)
        self.broker.start()
        self.publisher = SoakPublisher(self.broker.url, self.tally)
        self._broker_died = time.monotonic()

    def run(self, jobs: int, kills: int, seconds: float) -> None:
        """Order so many jobs, kill so many times, wait for every answer."""
        end = time.monotonic() + seconds
        publisher, tally = self.publisher, self.tally
        publisher.connect()
        self._start()
        due = self._schedule(jobs, kills)
        shown = time.monotonic()
        while (tally.sent < jobs or publisher.open) and time.monotonic() < end:
            while tally.sent < jobs and len(publisher.open) < WINDOW and publisher.link.room > 0:
                publisher.order(self._job(tally.sent))
            publisher.pump()
            while due and tally.answered >= due[-1]:
                due.pop()
                self._kill_somebody()
            if not self.agent.alive:
                self._start()
            if time.monotonic() - shown > 30.0:
                shown = time.monotonic()
                print(f"  {tally}", flush=True)
        if publisher.open and self.agent.alive:
            self.agent.signal(signal.SIGABRT)  # its log then tells where it stood
            self.agent.wait()
        for name in publisher.open:
            tally.losses += 1
            tally.faults.append(f"{name} was not answered")
        settled = time.monotonic() + 3.0
        while time.monotonic() < settled:
            publisher.pump()
        self._count_runs()

    def close(self) -> None:
        self.publisher.close()
        if self.agent.alive:
            self.agent.kill()
        self.broker.kill()

    def _start(self) -> None:
        self.agent.start(PYTHONFAULTHANDLER="1")

    def _schedule(self, jobs: int, kills: int) -> list[int]:
        return sorted((self._chance.randrange(1, max(2, jobs - 10)) for _ in range(kills)), reverse=True)

    def _job(self, number: int) -> Job:
        chance = self._chance.random()
        module: ModuleRef = NamedModule("append")
        limits = Limits()
        if chance < 0.01:
            module, limits = InlineModule(self._loop), Limits(time_ms=30)
        data = f"job {number}".encode() * (100 if chance > 0.95 else 1)
        return Job(f"job-{number}", module, (data,), limits=limits)

    def _kill_somebody(self) -> None:
        victim = self._chance.choices(("agent", "workers", "broker"), (4, 4, 2))[0]
        if victim == "broker" and time.monotonic() - self._broker_died < BROKER_REST_S:
            victim = "workers"
        self.tally.kills[victim] += 1
        if victim == "agent":
            self.agent.kill()
        elif victim == "workers":
            for pid in self.agent.children() if self.agent.alive else ():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it was about to leave
        else:
            self.broker.kill()
            if self._chance.random() < 0.5:
                shutil.rmtree(self._store)
                self._store.mkdir(mode=0o777)
            self.broker.start()
            self._broker_died = time.monotonic()

    def _count_runs(self) -> None:
        runs = self.agent.runs()
        self.tally.runs = sum(runs.values())
        most = 1 + self.tally.kills["agent"]
        for name, count in runs.items():
            if count > most:
                self.tally.duplicates += 1
                self.tally.faults.append(f"{name} ran {count} times")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the soak; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0, help="0: one for 300 jobs")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))  # noqa: S311 - a seed
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args(argv)
    print(f"soak: {options.jobs} jobs, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="waspi-soak-"))
    soak = Soak(folder, options.seed)
    begun = time.monotonic()
    try:
        soak.run(options.jobs, options.kills or options.jobs // 300, options.minutes * 60)
    finally:
        soak.close()
    for line in soak.tally.faults[:20]:
        print(f"  {line}")
    failed = bool(soak.tally.faults or soak.tally.duplicates or soak.tally.losses)
    print(f"soak: {soak.tally}; {time.monotonic() - begun:.0f} s; seed {options.seed}", flush=True)
    if failed:
        print(f"soak: kept for a look: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
