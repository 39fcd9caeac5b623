"""Processes that answer requests over MQTT: the agent, and the raw paho echo it is held against."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.simulators.agent_process import AgentProcess

from bench.session import GUEST, INPUT, ROOT
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

TOPICS = Topics("default")
LOOP = ROOT / "build" / "guests" / "hostile" / "loop_in_entry.wasm"
"""A guest that never comes back."""


class Agent:
    """An agent that knows the reference guest as ``append`` and an endless one as ``loop``."""

    def __init__(
        self,
        folder: Path,
        url: str,
        device: str,
        *,
        sync: str = "full",
        idle_s: float = 30,
        rest: str = "",
        broker: str = "will_delay_s = 0",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.device = device
        self.ready_topic = TOPICS.presence(device)
        self.topic = TOPICS.device_job(device)
        tables = f'''
[journal]
sync = "{sync}"
[queue]
idle_s = {idle_s}
[modules.append]
path = "{GUEST}"
[modules.loop]
path = "{LOOP}"
'''
        self.process = AgentProcess(
            folder,
            url,
            device,
            device='log_level = "error"',
            broker=broker,
            rest=tables + rest,
            environment=environment,
        )

    def body(self, number: int) -> bytes:
        """A job of its own."""
        return encode_job(Job(f"{self.device}-{number}", NamedModule("append"), (INPUT,)))

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()


class Echo:
    """The raw paho echo."""

    topic = "echo/job"
    ready_topic = "echo/ready"

    def __init__(self, port: int) -> None:
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running echo."""
        assert self._process is not None  # noqa: S101 - asked for between enter and exit
        return self._process.pid

    def body(self, number: int) -> bytes:  # noqa: ARG002 - the same port as the agent's
        """A request."""
        return INPUT

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "bench.peers.paho_echo", str(self._port)], cwd=ROOT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
