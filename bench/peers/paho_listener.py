"""What the paho programs here have in common: they listen on one topic, and say when they do."""

import socket
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


def listen(
    port: int, name: str, topic: str, ready: str, window: int, on_message: Callable[[Client, object, MQTTMessage], None]
) -> None:
    """Serve for ever: connect as ``name``, say ``ready`` (retained) once subscribed; ``window`` publishes at once."""

    def on_connect(
        client: Client, _data: object, _flags: ConnectFlags, _code: ReasonCode, _rest: Properties | None
    ) -> None:
        client.subscribe(topic, 1)

    def on_subscribe(client: Client, *_: object) -> None:
        client.publish(ready, b"1", 1, retain=True)

    def on_socket_open(_client: Client, _data: object, sock: Any) -> None:  # noqa: ANN401 - a socket, or paho's wrapper
        # Without it every round trip waits 40 ms for a delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(window)
    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_socket_open = on_socket_open
    client.connect("127.0.0.1", port)
    client.loop_forever()
