"""The last word of a device that was removed: its session ends, and nothing retained stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.fleet.trial import Visitor
from waspi.mqtt.message import Outgoing
from waspi.mqtt.settings import LinkSettings
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from waspi.mqtt.address import BrokerAddress
    from waspi.mqtt.settings import Tls


def say_farewell(address: BrokerAddress, tls: Tls, fleet: str, device: str, *, timeout_s: float = 15.0) -> None:
    """Log in as ``device``, which ends its own connection and session, and clear its retained messages.

    ``tls`` bears a certificate in the device's name; the broker makes that name the client's id. Raises
    :class:`BrokerError` when the broker cannot be reached, refuses, or does not answer in time.
    """
    settings = LinkSettings(address, device, tls, clean_start=True, session_expiry_s=0, connect_timeout_s=timeout_s)
    topics = Topics(fleet)
    with Visitor(settings) as visitor:
        for topic in (topics.presence(device), topics.reported(device)):
            visitor.publish(Outgoing(topic, b"", retain=True))
