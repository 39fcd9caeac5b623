"""What a session tells its owner."""

from __future__ import annotations

from typing import Protocol

from waspi.errors import BrokerError
from waspi.mqtt.message import Incoming, ServerLimits


class LinkHandler(Protocol):
    """Called on the loop's thread, never from within a call that the owner makes to the link's other methods."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """The broker accepted the connection; subscriptions must be made again unless ``session_present``."""

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """The connection is lost or was not to be had."""

    def on_message(self, message: Incoming) -> None:
        """A message came; a QoS 1 message waits for ``acknowledge``."""

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """The broker answered for a QoS 1 publish: taken, or refused with a reason.

        An ``UnheardError`` is a refusal, too: who can wait for a subscriber may publish again.
        """

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """The broker answered for a subscription."""
