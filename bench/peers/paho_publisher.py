"""The least that could deliver: paho, which publishes one file, in parts, to so many devices, when it is told to.

``python -m bench.peers.paho_publisher PORT FILE DEVICES PART``. On a message to ``raw/go`` it publishes every part, QoS
1, to ``raw/0`` … in turn, with 64 under way; it says ``raw/ready`` (retained) when it listens.
"""

import sys
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage

from bench.peers.paho_listener import listen

content = Path(sys.argv[2]).read_bytes()
devices, part = int(sys.argv[3]), int(sys.argv[4])


def on_message(client: Client, _data: object, _message: MQTTMessage) -> None:
    """Publish all of it."""
    for at in range(0, len(content), part):
        for number in range(devices):
            client.publish(f"raw/{number}", content[at : at + part], 1)


listen(int(sys.argv[1]), "raw-publisher", "raw/go", "raw/ready", 64, on_message)
