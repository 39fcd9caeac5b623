"""The last word of a device that was removed: its session ends, and nothing retained stays behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from waspi.errors import NoAnswerError, RefusedByBrokerError, UnreachableBrokerError
from waspi.mqtt.tls import explain, make_context
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from waspi.mqtt.address import BrokerAddress
    from waspi.mqtt.settings import Tls


def say_farewell(address: BrokerAddress, tls: Tls, fleet: str, device: str, *, timeout_s: float = 15.0) -> None:
    """Log in as ``device``, which ends its own connection and session, and clear its retained messages.

    ``tls`` bears a certificate in the device's name; the broker makes that name the client's id. Raises
    :class:`BrokerError` when the broker cannot be reached, refuses, or does not answer in time.
    """
    answered = threading.Event()
    refusals: list[str] = []

    def on_connect(client: Client, _data: object, _flags: object, code: ReasonCode, _properties: object) -> None:
        if code.is_failure:
            refusals.append(str(code))
            client.disconnect()
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = on_connect
    client.tls_set_context(make_context(tls))
    forget = Properties(PacketTypes.CONNECT)
    forget.SessionExpiryInterval = 0
    try:
        client.connect(address.host, address.port, clean_start=True, properties=forget)
    except OSError as error:
        raise explain(address, error) from error
    client.loop_start()
    try:
        if not answered.wait(timeout_s):
            raise NoAnswerError(f"{address} did not answer within {timeout_s:.0f} s")
        if refusals:
            raise RefusedByBrokerError(f"{address} refuses {device}: {refusals[0]}")
        topics = Topics(fleet)
        for topic in (topics.presence(device), topics.reported(device)):
            said = client.publish(topic, b"", qos=1, retain=True)
            if said.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise UnreachableBrokerError(f"{address} ended the connection")
            said.wait_for_publish(timeout_s)
            if not said.is_published():
                raise NoAnswerError(f"{address} did not take the last message of {device} within {timeout_s:.0f} s")
    finally:
        client.disconnect()
        client.loop_stop()
