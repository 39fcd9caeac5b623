"""A member of a fleet that wants to be taken for another: with its own name at the broker, and its group's jobs."""

from __future__ import annotations

from tests.simulators.device import SimulatedDevice
from waspi.model.job import Job
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.result_envelope import CONTENT_TYPE, encode_result
from waspi.protocol.sync import SyncReport, encode_sync_report
from waspi.protocol.topics import Topics

LIE = b"a lie"


class HostileMember(SimulatedDevice):
    """``pi-2``; for each job of its group it answers in the name of ``victim``, wherever one may look for answers."""

    def __init__(self, url: str, victim: str, *, username: str | None = None) -> None:
        super().__init__(url, "pi-2", groups=("kitchen",), behaviour=lambda _: None, username=username)
        self.victim = victim

    def on_message(self, message: Incoming) -> None:
        if message.reply_to is not None and message.topic.endswith("/job"):
            self._lie(message, self.decoded(message))
        super().on_message(message)

    def _lie(self, request: Incoming, job: Job) -> None:
        forged = encode_result(Result(job.id, self.victim, JobState.SUCCEEDED, (LIE,)))
        topics = Topics("default")
        folder = request.reply_to or ""
        correlation = request.correlation
        for topic in (
            f"{folder}{self.victim}",
            f"{folder}{self.id}",
            f"{folder}result",
            f"{folder}{self.victim}/x",
            topics.result(self.victim, job.id),
            topics.result(self.id, job.id),
        ):
            self._post(Outgoing(topic, forged, correlation=correlation, content_type=CONTENT_TYPE))

    def pretend(self, topic: str, payload: bytes, *, content_type: str = CONTENT_TYPE) -> None:
        """Publish whatever; from any thread."""
        self._loop.call(lambda: self._post(Outgoing(topic, payload, content_type=content_type)))

    def deny(self, jobs: list[str], *, times: int, device: str | None = None) -> None:
        """Say again and again that ``device``, by default this one, does not know these jobs."""
        name = device or self.id
        report = encode_sync_report(SyncReport(name, "boot-1", complete=False, unknown=tuple(jobs)))
        for _ in range(times):
            self.pretend(Topics("default").sync(name), report)
