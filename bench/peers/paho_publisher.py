"""The least that could deliver: paho, which publishes one file, in parts, to so many devices, when it is told to.

``python paho_publisher.py PORT FILE DEVICES PART``. On a message to ``raw/go`` it publishes every part, QoS 1, to
``raw/0`` … in turn, with 64 under way; it says ``raw/ready`` (retained) when it listens.
"""

import socket
import sys
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

content = Path(sys.argv[2]).read_bytes()
devices, part = int(sys.argv[3]), int(sys.argv[4])
client = Client(CallbackAPIVersion.VERSION2, "raw-publisher", protocol=MQTTProtocolVersion.MQTTv5)
client.max_inflight_messages_set(64)


def on_message(client: Client, _data: object, _message: MQTTMessage) -> None:
    """Publish all of it."""
    for at in range(0, len(content), part):
        for number in range(devices):
            client.publish(f"raw/{number}", content[at : at + part], 1)


def on_connect(
    client: Client, _data: object, _flags: ConnectFlags, _code: ReasonCode, _rest: Properties | None
) -> None:
    """Listen."""
    client.subscribe("raw/go", 1)


def on_subscribe(client: Client, *_: object) -> None:
    """Tell that it listens."""
    client.publish("raw/ready", b"1", 1, retain=True)


def on_socket_open(_client: Client, _data: object, sock: Any) -> None:  # noqa: ANN401 - a socket, or paho's wrapper
    """Without it every round trip waits 40 ms for a delayed acknowledgement."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


client.on_message = on_message
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_socket_open = on_socket_open
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
