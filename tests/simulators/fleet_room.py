"""Many simulated devices in one room, on one connection to a real broker: enough for an operator who only listens."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.simulators.fleet_member import FleetMember
from tests.simulators.link_owner import LinkOwner
from tests.simulators.repository_client import RepositoryClient
from waspi.mqtt.message import Outgoing
from waspi.protocol.presence import PresenceState, encode_presence
from waspi.protocol.reported import encode_reported
from waspi.protocol.topics import Topics


class FleetRoom:
    """Ticks its members on a thread: they read ``group``'s deployment by python-tuf, and say what changed, retained."""

    def __init__(self, url: str, members: list[FleetMember], client: RepositoryClient, group: str = "kitchen") -> None:
        self.members = members
        self._client = client
        self._group = group
        self._topics = Topics("default")
        self._owner = LinkOwner(url, "fleet-room", window=64)
        self._said: dict[str, bytes] = {}
        self._stop = threading.Event()
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fleet-room")

    def __enter__(self) -> Self:
        self._owner.connect()
        self._tell()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(120)
        self._owner.close()
        if self._crash is not None and kind is None:
            raise self._crash

    def running(self, name: str) -> dict[str | None, int]:
        """How many devices run which version."""
        versions = [member.serving(name) for member in self.members]
        return {version: versions.count(version) for version in sorted(set(versions), key=str)}

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                deployments = {self._group: self._client.deployment(self._group)}
                for member in self.members:
                    member.tick(deployments)
                self._tell()
                self._owner.step(0.02)
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            self._crash = error

    def _tell(self) -> None:
        for member in self.members:
            state = PresenceState.ONLINE if member.online else PresenceState.OFFLINE
            self._say(self._topics.presence(member.id), encode_presence(member.presence(state)))
            self._say(self._topics.reported(member.id), encode_reported(member.reported()))
        self._owner.until(lambda: self._owner.link.room > 0)

    def _say(self, topic: str, payload: bytes) -> None:
        if self._said.get(topic) == payload:
            return
        self._said[topic] = payload
        self._owner.until(lambda: self._owner.link.room > 0)
        self._owner.link.publish(Outgoing(topic, payload, retain=True))
        self._owner.link.flush()
