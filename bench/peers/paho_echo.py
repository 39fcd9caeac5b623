"""The least that could answer: paho, no journal, no sandbox, no checks; it sends back what it gets.

``python paho_echo.py PORT``. Answers ``echo/job``; says ``echo/ready`` (retained) when it is subscribed.
"""

import socket
import sys
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

client = Client(CallbackAPIVersion.VERSION2, "echo", protocol=MQTTProtocolVersion.MQTTv5)
client.max_inflight_messages_set(0)


def on_message(client: Client, _data: object, message: MQTTMessage) -> None:
    """Send it back."""
    asked: Any = message.properties  # paho sets what the packet has as attributes
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = asked.CorrelationData
    client.publish(asked.ResponseTopic, message.payload, 1, properties=properties)


def on_connect(
    client: Client, _data: object, _flags: ConnectFlags, _code: ReasonCode, _rest: Properties | None
) -> None:
    """Listen."""
    client.subscribe("echo/job", 1)


def on_subscribe(client: Client, *_: object) -> None:
    """Tell that it listens."""
    client.publish("echo/ready", b"1", 1, retain=True)


def on_socket_open(_client: Client, _data: object, sock: Any) -> None:  # noqa: ANN401 - a socket, or paho's wrapper
    """Without it every round trip waits 40 ms for a delayed acknowledgement."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


client.on_message = on_message
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_socket_open = on_socket_open
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
