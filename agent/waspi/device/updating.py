"""Updates, wired into the agent; imported by agents whose configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable
from selectors import BaseSelector

from waspi.device.catalog import Catalog
from waspi.device.clock import Clock
from waspi.device.outbox import Outbox
from waspi.device.settings import Config
from waspi.mqtt.link import Link
from waspi.mqtt.message import Outgoing
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.topics import Topics
from waspi.sandbox.cache import ModuleCache
from waspi.updates.service import Updates
from waspi.updates.settings import UpdatesConfig


class _Surroundings:
    """The agent, as updates see it (:class:`waspi.updates.service.Surroundings`)."""

    def __init__(
        self, topics: Topics, device: str, link: Link, outbox: Outbox, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        self._topics = topics
        self._device = device
        self._link = link
        self._outbox = outbox
        self.raise_floor = clock.raise_floor
        self.changed = on_change

    @property
    def online(self) -> bool:
        return self._link.online

    def ask_depot(self, depot: str, request: bytes) -> None:
        if self._link.online:  # else it is asked again
            topic = self._topics.depot_get(self._device, depot)
            self._outbox.say(Outgoing(topic, request, content_type=CONTENT_TYPE))


def updates_of(
    config: Config,
    updates: UpdatesConfig,
    topics: Topics,
    selector: BaseSelector,
    cache: ModuleCache,
    catalog: Catalog,
    link: Link,
    outbox: Outbox,
    clock: Clock,
    on_change: Callable[[], None],
) -> Updates:
    """Updates as ``config`` wants them; ``on_change`` is called when reported state is not what it was.

    Raises ``StorageError``.
    """
    return Updates(
        updates,
        device=config.id,
        groups=config.groups,
        state_dir=config.state_dir,
        limits=config.limits,
        selector=selector,
        cache=cache,
        serving=catalog,
        around=_Surroundings(topics, config.id, link, outbox, clock, on_change),
        now=clock.now,
        monotonic=clock.monotonic,
    )
