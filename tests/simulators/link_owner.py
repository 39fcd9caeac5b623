"""Somebody who owns a link: runs its loop and keeps what it tells."""

from __future__ import annotations

import random
import selectors
import time
from collections.abc import Callable
from dataclasses import replace

from waspi.errors import BrokerError
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, ServerLimits
from waspi.mqtt.settings import LinkSettings


class LinkOwner:
    """A handler with its own selector; :meth:`until` runs the loop until something holds."""

    def __init__(
        self, url: str, client_id: str = "owner", *, filters: tuple[str, ...] = (), **settings: object
    ) -> None:
        self.selector = selectors.DefaultSelector()
        self.messages: list[Incoming] = []
        self.published: list[tuple[int, BrokerError | None]] = []
        self.offline: list[BrokerError] = []
        self.sessions: list[bool] = []
        self.subscribed: list[BrokerError | None] = []
        self.limits: list[ServerLimits] = []
        self._filters = filters
        plain = LinkSettings(BrokerAddress.parse(url), client_id, will=None)
        self.link = Link(
            replace(plain, **settings),  # type: ignore[arg-type]
            self.selector,
            self,
            time.monotonic,
            random.Random(1),  # noqa: S311 - jitter
        )

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        self.sessions.append(session_present)
        self.limits.append(limits)
        if self._filters and not session_present:
            self.link.subscribe(list(self._filters))

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:  # noqa: ARG002 - the port has it
        self.offline.append(reason)

    def on_message(self, message: Incoming) -> None:
        self.messages.append(message)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        self.published.append((token, refused))

    def on_subscribed(self, refused: BrokerError | None) -> None:
        self.subscribed.append(refused)

    def step(self, longest_s: float = 0.05) -> None:
        for key, _ in self.selector.select(longest_s):
            key.data()
        self.link.tick(time.monotonic())
        self.link.flush()

    def until(self, holds: Callable[[], object], within_s: float = 120.0) -> None:
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, (
                f"not within {within_s} s; offline: {[each.message for each in self.offline]}"
            )
            self.step()

    def connect(self) -> None:
        """Start and wait until the session (and its subscription) is there."""
        self.link.start()
        self.until(lambda: self.link.online and (self.subscribed or not self._filters))

    def close(self) -> None:
        self.link.close()
        self.selector.close()
