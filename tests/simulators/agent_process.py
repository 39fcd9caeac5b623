"""A real agent in a process of its own, and a publisher that speaks to it over a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.simulators.link_owner import LinkOwner
from waspi.model.job import Job
from waspi.model.result import Result
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.presence import Presence, decode_presence
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.topics import Topics

ROOT = Path(__file__).resolve().parents[2]
FLEET = "default"
_BASE = """\
[device]
id = "{id}"
state_dir = "{state}"
{device}
[broker]
url = "{url}"
{broker}
{rest}
"""


class AgentProcess:
    """``waspi agent`` with a configuration of the test's; ``rest`` holds further TOML tables."""

    program: tuple[str, ...] = ("waspi", "agent")

    def __init__(
        self,
        folder: Path,
        url: str,
        device_id: str = "pi-1",
        *,
        device: str = "",
        broker: str = "will_delay_s = 0",
        rest: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.id = device_id
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "waspi.toml"
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "agent.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            _BASE.format(id=device_id, state=self.state, url=url, device=device, broker=broker, rest=rest)
        )

    @property
    def log(self) -> str:
        """What the agent has written so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Of the running agent."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, **environment: str) -> None:
        """Start it; who wants it online waits for its presence."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.program, "--config", str(self.config)],
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'agent'}:{ROOT}", **self._environment, **environment},
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = 120.0) -> int:
        """Wait for its end; returns the exit status."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(120)

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def children(self) -> list[int]:
        """Process ids of its workers and compilers."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in found]


class TappedAgent(AgentProcess):
    """An agent that notes each job that a worker gets (:mod:`tests.simulators.tapped_agent`)."""

    program = ("tests.simulators.tapped_agent",)

    @property
    def tap(self) -> Path:
        """The file of notes; survives every life of the agent."""
        return self.folder / "tap"

    def start(self, **environment: str) -> None:
        super().start(WASPI_TAP=str(self.tap), **environment)

    def runs(self) -> Counter[str]:
        """How often each job was handed to a worker, over all lives."""
        noted = Counter(self.tap.read_text().split()) if self.tap.exists() else Counter[str]()
        return Counter({name: count - noted[f"-{name}"] for name, count in noted.items() if not name.startswith("-")})


class ClocklessAgent(AgentProcess):
    """An agent on a board whose clock was never set (:mod:`tests.simulators.clockless_agent`)."""

    program = ("tests.simulators.clockless_agent",)


class Publisher(LinkOwner):
    """Sends jobs to a device and keeps every answer that comes, duplicates too."""

    def __init__(self, url: str, client_id: str = "publisher", *, device: str = "pi-1", **settings: object) -> None:
        self.topics = Topics(FLEET)
        self.device = device
        filters = (f"reply/{client_id}/#", *self.topics.operator_filters())
        super().__init__(url, client_id, filters=filters, **settings)
        self.reply_to = f"reply/{client_id}/answers"
        self.results: list[tuple[Result, Incoming]] = []
        self.presence: list[Presence] = []
        self.plain: list[Incoming] = []

    def on_message(self, message: Incoming) -> None:
        super().on_message(message)
        self.link.acknowledge(message)
        if message.topic.endswith("/presence"):
            if message.payload:
                self.presence.append(decode_presence(message.payload))
        elif message.topic.endswith("/sync"):
            return  # a report, also where a query asked for one on a topic of its own
        elif message.topic.startswith("reply/") or "/result/" in message.topic:
            if message.content_type == "application/cbor":
                self.results.append((decode_result(message.payload), message))
            else:
                self.plain.append(message)

    def send(self, job: Job | bytes, **options: object) -> None:
        """Publish a job (or bytes that pretend to be one)."""
        payload = job if isinstance(job, bytes) else encode_job(job)
        told: dict[str, object] = {"reply_to": self.reply_to, "correlation": b"c", **options}
        topic = told.pop("topic", self.topics.device_job(self.device))
        self.until(lambda: self.link.room > 0)
        self.link.publish(Outgoing(str(topic), payload, **told))  # type: ignore[arg-type]
        self.link.flush()

    def result(self, job_id: str, within_s: float = 120.0) -> Result:
        """Wait for the first result of a job."""
        self.until(lambda: any(each.id == job_id for each, _ in self.results), within_s)
        return next(each for each, _ in self.results if each.id == job_id)

    def results_of(self, job_id: str) -> list[Result]:
        """Every result of a job that came so far."""
        return [each for each, _ in self.results if each.id == job_id]

    def until_online(self, within_s: float = 120.0) -> None:
        """Wait until the device is online, and for longer than the last ``offline``."""
        self.until(lambda: self.presence and self.presence[-1].state == "online", within_s)

    def settle(self, seconds_of_silence: float = 0.3) -> None:
        """Run the loop until nothing has come for a while: for asserting that nothing more comes."""
        seen = -1
        while seen != len(self.messages):
            seen = len(self.messages)
            end = time.monotonic() + seconds_of_silence
            while time.monotonic() < end:
                self.step(0.05)
