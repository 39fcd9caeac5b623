"""A member of the group answers for another one, and says that the fleet's jobs are lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.attack.board import DEVICE, ECHO, PATIENCE_S, Finding
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.protocol.result_envelope import CONTENT_TYPE, encode_result
from waspi.protocol.sync import SyncReport, encode_sync_report
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from paho.mqtt.client import Client as Mqtt
    from paho.mqtt.client import MQTTMessage

    from tests.attack.board import Board

TOPICS = Topics("default")
TRUTH = b"the truth"


def attack(board: Board) -> Finding:
    """``pi-2`` hears the job of its group, with Response Topic and Correlation Data, as every member does."""
    lied, listening = threading.Event(), threading.Event()
    forged = encode_result(Result("asked", DEVICE, JobState.SUCCEEDED, (b"a lie",)))
    lost = encode_sync_report(SyncReport(DEVICE, "boot-1", unknown=("asked",)))

    def lie(client: Mqtt, _data: object, message: MQTTMessage) -> None:
        asked: Any = message.properties
        properties: Any = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = asked.CorrelationData
        properties.ContentType = CONTENT_TYPE
        folder = asked.ResponseTopic
        for topic in (f"{folder}{DEVICE}", f"{folder}pi-2", f"{folder}result", TOPICS.result(DEVICE, "asked")):
            client.publish(topic, forged, 1, properties=properties)
        for topic in (TOPICS.sync(DEVICE), TOPICS.sync("pi-2"), f"{folder}pi-2"):
            client.publish(topic, lost, 1, properties=properties)
        lied.set()

    with board.member("devices/pi-2") as liar, board.operator() as fleet:
        liar.client.on_message = lie
        liar.client.on_subscribe = lambda *_: listening.set()
        liar.subscribe(TOPICS.group_job("attic"))
        listening.wait(PATIENCE_S)
        answers = list(fleet.submit_group("attic", ECHO, TRUTH, job_id="asked").results(PATIENCE_S))
        heard = lied.wait(PATIENCE_S)
    return Finding(
        heard and [(each.device, each.outputs) for each in answers] == [(DEVICE, (TRUTH,))],
        "reply topics of each device's own, and an answer has to fit its topic",
        f"answers: {', '.join(f'{each.device} {each.outputs!r}' for each in answers)}",
    )
