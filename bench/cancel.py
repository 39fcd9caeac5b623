"""How soon a guest in an endless loop is stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.simulators.mosquitto import Mosquitto

from bench.figure import Figure, percentile
from bench.requester import REPLY, Requester
from bench.responder import TOPICS, Agent
from bench.section import Section
from bench.target import Target
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState
from waspi.mqtt.message import Outgoing
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import decode_result

if TYPE_CHECKING:
    from bench.session import Session

NAME = "cancel"
ROUNDS: Final = 50
WARM_UP: Final = 3
"""Guests that are not counted: the first ones find no worker and no compiled module."""
WHAT = "cancel to result"
SUBJECT = "waspi agent"
_STATUS = '[status]\nreport = "all"\n'


def measure(session: Session) -> Section:
    """Push the endless guest, wait until it runs, cancel it over MQTT, wait for its result."""
    section = Section(
        NAME,
        "Cancel",
        "From the publish of the cancel to the result CANCELED, through broker, agent, worker and the durable journal; "
        "the guest loops without end.",
        SUBJECT,
    )
    rounds = session.count(ROUNDS)
    with Mosquitto(session.memory / "cancel-broker") as broker, Requester(broker.url) as client:
        agent = Agent(session.disk / "cancel", broker.url, "cancel", rest=_STATUS)
        with agent:
            client.until_ready(agent)
            session.say(f"{rounds} guests")
            taken = [_cancel_ms(client, agent, f"endless-{number}") for number in range(WARM_UP + rounds)][WARM_UP:]
    worst = percentile(taken, 1)
    section.figures = [
        Figure.of(SUBJECT, WHAT, "ms", taken),
        Figure(SUBJECT, "the longest", "ms", worst, worst, worst, len(taken)),
    ]
    section.targets.append(Target("cancel of a running guest, the longest", worst, 50, "ms"))
    return section


def _cancel_ms(client: Requester, agent: Agent, job: str) -> float:
    topic = TOPICS.status(agent.device, job)
    client.link.publish(Outgoing(agent.topic, encode_job(Job(job, NamedModule("loop"), (b"",))), reply_to=REPLY))
    client.link.flush()
    running = JobState.IN_PROGRESS.value.encode()
    client.until(lambda: any(seen.topic == topic and running in seen.payload for seen in client.seen))
    client.seen.clear()
    answers = client.answers + 1
    begin = time.perf_counter()
    client.link.publish(Outgoing(TOPICS.cancel(agent.device, job), b""))
    client.link.flush()
    client.until(lambda: client.answers >= answers)
    taken = (time.perf_counter() - begin) * 1e3
    result = decode_result(client.last)
    if result.state is not JobState.CANCELED:
        raise RuntimeError(f"the endless guest ended {result.state}: {result.error}")
    return taken
