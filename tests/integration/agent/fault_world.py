"""A device whose disk can be made to fail, with what it takes to kill its agent at a chosen point of a job's life."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.crash.faultfs import FaultFs, Mode
from tests.simulators.agent_process import Publisher, TappedAgent
from tests.simulators.mosquitto import Mosquitto
from waspi.journal.reader import Reader
from waspi.journal.rows import JobRow
from waspi.model.job import Job

_WRITES = 30
"""More writes than a job makes."""
_PASSES = 3
"""Which write is which varies: the row of the job before may go in the same commit, or in one of its own."""


class FaultWorld:
    """An agent on faultfs and a publisher, both connected."""

    def __init__(self, folder: Path, broker: Mosquitto, guest: bytes, *, rest: str = "", **options: str) -> None:
        self.broker = broker
        (folder / "state").mkdir(parents=True)
        (folder / "append.wasm").write_bytes(guest)
        self.faults = FaultFs(folder / "state", folder, lazy=True)
        module = f'[modules.append]\npath = "{folder / "append.wasm"}"\nversion = "1.0.0"\n'
        self.agent = TappedAgent(
            folder, broker.url, environment=self.faults.environment(), rest=module + rest, **options
        )
        self.publisher = Publisher(broker.url)
        try:
            self.publisher.connect()
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the agent and wait until it is online."""
        before = len(self.publisher.presence)
        self.faults.disarm()
        self.agent.start()
        self.publisher.until(lambda: any(each.state == "online" for each in self.publisher.presence[before:]))

    def journaled(self, job_id: str) -> JobRow | None:
        """The job as it stands on the disk."""
        reader = Reader(self.agent.state / "journal.db")
        try:
            return reader.job(job_id)
        finally:
            reader.close()

    def unsent(self) -> list[str]:
        """Jobs whose results stand in the outbox on the disk."""
        reader = Reader(self.agent.state / "journal.db")
        try:
            return [row.entry.job_id or "" for row in reader.outbox()]
        finally:
            reader.close()

    def die_where(self, make: Callable[[str], Job], where: Callable[[str], bool]) -> str:
        """Kill the agent at the first write of a job's life at which ``where(job id)`` holds; returns the id.

        Tries write after write, each with a job of its own. The agent is left dead.
        """
        for number in range(_PASSES * _WRITES):
            job_id = f"job-{number + 1}"
            self.faults.arm(Mode.KILL, number % _WRITES + 1)
            self.publisher.send(make(job_id))
            self.publisher.until(lambda name=job_id: self.publisher.results_of(name) or not self.agent.alive)
            if not self.agent.alive and where(job_id):
                return job_id
            if not self.agent.alive:
                self.start()
                self.publisher.result(job_id)
        raise AssertionError("no write of a job's life leaves the disk in that state")

    def close(self) -> None:
        if self.agent.alive:
            self.agent.kill()
        self.publisher.close()
        self.faults.close()

    def kill_now(self) -> None:
        """SIGKILL."""
        self.agent.signal(signal.SIGKILL)
        self.agent.wait()
