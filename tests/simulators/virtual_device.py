"""The real :class:`waspi.device.agent.Agent` on a real journal; broker, workers, disk and time are the test's."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from tests.simulators.virtual_broker import VirtualBroker, VirtualLink
from tests.simulators.virtual_disk import VirtualDisk
from tests.simulators.virtual_pool import VirtualPool
from tests.simulators.virtual_time import InstantSelector, VirtualTime
from waspi.device import agent as agent_module
from waspi.device.agent import Agent
from waspi.device.clock import Clock
from waspi.device.settings import BrokerConfig, Config, JournalConfig, LocalModule, QueueConfig, StatusReports, Sync
from waspi.journal.journal import Journal
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Outgoing
from waspi.sandbox.task import Task

DEVICE = "pi-1"
MODULE = "echo"


class VirtualDevice:
    """One device over many lives of its agent; between two lives only the state folder stays."""

    def __init__(
        self,
        folder: Path,
        on_publish: Callable[[Outgoing], None],
        *,
        workers: int = 2,
        receive_maximum: int = 4,
        status: StatusReports = StatusReports.NONE,
        at_once: bool = False,
    ) -> None:
        self.time = VirtualTime()
        self.broker = VirtualBroker(on_publish)
        self.starts: list[Task] = []
        """Every task that a worker got, over all lives."""
        self.lives = 0
        guest = folder / "echo.wasm"
        guest.write_bytes(b"\0asm\1\0\0\0")
        self.config = Config(
            id=DEVICE,
            fleet="default",
            groups=(),
            labels={},
            state_dir=folder / "state",
            broker=BrokerConfig(
                BrokerAddress.parse("mqtt://broker.invalid"), receive_maximum=receive_maximum, will_delay_s=0
            ),
            queue=QueueConfig(workers=workers),
            journal=JournalConfig(sync=Sync.OFF if at_once else Sync.FULL),
            status=status,
            modules=(LocalModule(MODULE, guest, "1.0.0"),),
        )
        self.agent: Agent
        self.link: VirtualLink
        self.pool: VirtualPool
        self.disk: VirtualDisk
        self.start()

    def start(self) -> None:
        """A new life on what the disk holds."""
        self.lives += 1
        with (
            mock.patch.object(agent_module, "Link", self._make_link),
            mock.patch.object(agent_module, "Pool", self._make_pool),
            mock.patch.object(agent_module, "CommitThread", self._make_disk),
            mock.patch.object(selectors, "DefaultSelector", InstantSelector),
        ):
            self.agent = Agent(self.config, {}, Clock(wall=self.time.wall, monotonic=self.time.monotonic))
        self.agent.start()

    def crash(self) -> None:
        """The agent is gone at once: what was not committed never was."""
        if self.link.online:
            self.broker.link = None
            self.link.online = False
        agent = self.agent
        agent._journal.close()
        agent._selector.close()
        self.disk.drop()

    def stop(self) -> None:
        """The end of an orderly stop, when there is nothing left to wait for or the grace is over."""
        if self.link.online:
            self.broker.link = None
        self.agent._close()

    def turn(self) -> bool:
        """One iteration of the agent's loop, if something is ready or due; whether there was."""
        now = self.time.monotonic()
        due = self.agent._timeout(now) <= 0.0
        if due or self.agent._selector.select(0):
            self.agent._step()
            return True
        return False

    def step(self) -> None:
        """One iteration of the agent's loop, as after an event."""
        self.agent._step()

    def idle_for(self) -> float:
        """Seconds until the agent wants to do something by itself."""
        return self.agent._timeout(self.time.monotonic())

    def _make_link(
        self, settings: object, _selector: object, handler: Agent, _clock: object, **_options: object
    ) -> VirtualLink:
        self.link = VirtualLink(settings, handler, self.broker)  # type: ignore[arg-type]
        return self.link

    def _make_pool(self, *parts: object, clock: Callable[[], float]) -> VirtualPool:
        self.pool = VirtualPool(*parts, clock=clock, starts=self.starts)  # type: ignore[arg-type]
        return self.pool

    def _make_disk(self, journal: Journal) -> VirtualDisk:
        self.disk = VirtualDisk(journal)
        return self.disk
