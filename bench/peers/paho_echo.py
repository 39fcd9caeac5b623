"""The least that could answer: paho, no journal, no sandbox, no checks; it sends back what it gets.

``python -m bench.peers.paho_echo PORT``. Answers ``echo/job``; says ``echo/ready`` (retained) when it is subscribed.
"""

import sys
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.peers.paho_listener import listen


def on_message(client: Client, _data: object, message: MQTTMessage) -> None:
    """Send it back."""
    asked: Any = message.properties  # paho sets what the packet has as attributes
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = asked.CorrelationData
    client.publish(asked.ResponseTopic, message.payload, 1, properties=properties)


listen(int(sys.argv[1]), "echo", "echo/job", "echo/ready", 0, on_message)
