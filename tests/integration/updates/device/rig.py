"""A desk with a repository, a depot, a broker, a device and somebody who watches it: all real."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from tests.simulators.repository_site import Site
from waspi._wasmer import wat2wasm
from waspi.fleet.depot.service import Depot
from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import NamedModule
from waspi.model.release import GoldenPair, Release
from waspi.model.result import Result
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Incoming
from waspi.protocol.reported import Reported, ReportedModule, decode_reported

MODULE = "append"
GROUP = "kitchen"
TEMPLATE = """(module
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 1024))
  (data (i32.const 0) "{suffix}")
  {more}
  (func (export "alloc") (param i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 0))))
  (func (export "append") (param i32 i32) (result i32)
    {before}
    (memory.copy (i32.add (local.get 0) (local.get 1)) (i32.const 0) (i32.const {size}))
    (i32.add (local.get 1) (i32.const {size}))))"""
UPDATES = """\
[updates]
root = "{root}"
spread_s = 0
interval_s = 3600
{updates}
[limits]
time_ms = 3000
"""


def module(suffix: str, *, before: str = "", ballast: int = 0) -> bytes:
    """A guest that appends ``suffix``; ``before`` is what it does first; ``ballast``: bytes of data nobody reads."""
    more = ""
    if ballast:
        block = hashlib.sha256(suffix.encode()).hexdigest() * (ballast // 64 + 1)
        more = f'(data "{block[:ballast]}")'  # passive: takes room in the file alone
    text = TEMPLATE.format(suffix=suffix, size=len(suffix), before=before, more=more)
    return wat2wasm(text.encode())


class Desk(Site):
    """A site by the real clock, with modules that run."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, now=datetime.now(UTC))

    def release(
        self,
        version: str,
        *,
        wasm: bytes | None = None,
        golden: tuple[GoldenPair, ...] | None = None,
        group: str = GROUP,
        name: str = MODULE,
        stage: float = 100.0,
        base: str | None = None,
        limits: Limits | None = None,
        abi: Abi = DEFAULT_ABI,
    ) -> Release:
        """Add version ``version``, which appends ``<version>``, deploy and publish it."""
        suffix = f"<{version}>"
        bytes_ = module(suffix) if wasm is None else wasm
        pairs = (GoldenPair(b"in", b"in" + suffix.encode()),) if golden is None else golden
        digest = hashlib.sha256(bytes_).hexdigest()
        made = Release(name, version, digest, len(bytes_), abi, limits or Limits(), pairs)
        self.repository.add(made, bytes_)
        self.deploy(version, group=group, name=name, stage=stage, base=base)
        return made

    def deploy(
        self,
        version: str,
        *,
        group: str = GROUP,
        name: str = MODULE,
        stage: float = 100.0,
        base: str | None = None,
        retry: bool = False,
    ) -> None:
        """Name a version that is there, and publish."""
        self.now = datetime.now(UTC)
        self.repository.deploy(group, name, version, stage=stage, base=base, retry=retry)
        self.repository.publish()


class Watcher(Publisher):
    """A publisher that keeps reported state, every one that came."""

    username: str | None = None

    def __init__(self, url: str, *, device: str = "pi-1", client_id: str = "watcher") -> None:
        self.reported: list[Reported] = []
        super().__init__(url, client_id, device=device, username=self.username)

    def on_message(self, message: Incoming) -> None:
        super().on_message(message)
        if message.topic.endswith(f"/{self.device}/reported") and message.payload:
            self.reported.append(decode_reported(message.payload))

    def state_of(self, version: str, name: str = MODULE) -> ReportedModule | None:
        """What the device says of a version now."""
        modules = self.reported[-1].modules if self.reported else ()
        return next((each for each in modules if (each.name, each.version) == (name, version)), None)

    def is_seen(self, version: str, state: str) -> bool:
        """Whether a version is in ``state`` now."""
        found = self.state_of(version)
        return found is not None and found.state == state

    def until_any(self, version: str, states: tuple[str, ...]) -> None:
        """Wait until a version is in one of ``states``."""
        self.until(lambda: any(self.is_seen(version, state) for state in states), 60.0)

    def until_state(self, version: str, state: str, within_s: float = 120.0, name: str = MODULE) -> ReportedModule:
        """Wait until a version is reported in ``state``."""

        def holds() -> bool:
            found = self.state_of(version, name)
            return found is not None and found.state == state

        self.until(holds, within_s)
        found = self.state_of(version, name)
        assert found is not None
        return found

    def run(self, job_id: str, version: str | None = None, data: bytes = b"x") -> Result:
        """Run a job by the module's name."""
        self.send(Job(job_id, NamedModule(MODULE, version), (data,)))
        return self.result(job_id)


class Rig:
    """Everything, until the ``with`` ends. The depot runs in this process."""

    def __init__(self, folder: Path, *, device: str = "pi-1") -> None:
        self.folder = folder
        self.desk = Desk(folder)
        self.broker = Mosquitto(folder / "broker")
        self.device = device
        self.agents: list[AgentProcess] = []
        self._depots: list[Depot] = []

    def __enter__(self) -> Self:
        self.broker.start()
        self.watcher = Watcher(self.broker.url, device=self.device)
        self.watcher.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self.agents:
            if agent.alive:
                agent.kill()
        for depot in self._depots:
            depot.__exit__(None, None, None)
        self.watcher.close()
        self.broker.kill()

    def depot(self, **options: object) -> Depot:
        """Start a depot."""
        made = Depot(self.desk.folder, BrokerAddress.parse(self.broker.url), **options)  # type: ignore[arg-type]
        self._depots.append(made)
        made.__enter__()
        return made

    def agent(
        self,
        device: str | None = None,
        *,
        updates: str = "",
        rest: str = "",
        group: str = GROUP,
        broker: str = "will_delay_s = 0",
        **environment: str,
    ) -> AgentProcess:
        """An agent that takes updates; not started."""
        root = self.folder / "trusted-root.json"
        root.write_bytes(self.desk.repository.root_bytes())
        made = AgentProcess(
            self.folder / (device or self.device),
            self.broker.url,
            device or self.device,
            device=f'groups = ["{group}"]\nlog_level = "debug"',
            broker=broker,
            rest=UPDATES.format(root=root, updates=updates) + rest,
            environment=environment,
        )
        self.agents.append(made)
        return made
