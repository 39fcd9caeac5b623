"""Where an incoming message belongs, by its topic."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from waspi.errors import TopicError
from waspi.protocol.topics import Route, RouteKind

if TYPE_CHECKING:
    from waspi.device.intake import Intake
    from waspi.device.state_call import StateCalls
    from waspi.device.sync import SyncReports
    from waspi.mqtt.link import Link
    from waspi.mqtt.message import Incoming
    from waspi.protocol.policy import Policy
    from waspi.updates.service import Updates

_JOBS = frozenset({RouteKind.DEVICE_JOB, RouteKind.GROUP_JOB, RouteKind.RUN, RouteKind.GROUP_RUN})

_log = logging.getLogger(__name__)


class Router:
    """Hands each message to the part that it is for; what is no job is acknowledged at once."""

    def __init__(
        self,
        policy: Policy,
        link: Link,
        intake: Intake,
        sync: SyncReports,
        state_calls: StateCalls,
        updates: Updates | None,
    ) -> None:
        self._policy = policy
        self._link = link
        self._intake = intake
        self._sync = sync
        self._state_calls = state_calls
        self._updates = updates
        self._topic = ""
        self._route = Route(RouteKind.PRESENCE)
        """Of the latest message; most come on the same topic."""

    def on_message(self, message: Incoming) -> None:
        """Hand a message on."""
        if message.retain and not message.payload:  # somebody clears what was retained there: nothing is asked for
            self._link.acknowledge(message)
            return
        if message.topic != self._topic:
            try:
                self._route = self._policy.topics.parse(message.topic)
            except TopicError as error:
                self._intake.on_unknown_topic(message, error)
                return
            self._topic = message.topic
        route = self._route
        if route.kind is RouteKind.GROUP_JOB and route.group not in self._policy.groups:
            # Sent before the device left the group, or kept for it by the broker: nothing that anybody waits for here.
            _log.info("a job for group %s is not for this device any more", route.group)
            self._link.acknowledge(message)
            return
        if route.kind in _JOBS:
            self._intake.on_job(route, message)
            return
        if route.kind is RouteKind.CANCEL and route.device == self._policy.device:
            self._intake.on_cancel(route.item, message)
            return
        if route.kind is RouteKind.SYNC_QUERY:
            self._sync.on_query(message)
        elif route.kind is RouteKind.STATE_CALL:
            self._state_calls.on_call(message)
        elif self._updates is not None and route.kind is RouteKind.CHUNK:
            self._updates.on_chunk(message.payload)
        elif self._updates is not None and route.kind is RouteKind.DEPOT_TIMESTAMP:
            self._updates.on_notice(route.item, message.payload)
        self._link.acknowledge(message)
