"""A device without a sandbox: speaks the whole protocol with the real code, and answers from a Python function."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from waspi.errors import BrokerError, UnknownModuleError, WaspiError
from waspi.fleet.loop import LoopThread
from waspi.model.job import Job
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings, Will
from waspi.protocol import chunk, sync
from waspi.protocol.cose import is_signed, verify
from waspi.protocol.job_envelope import decode_job
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import MessageLimits, Reported, encode_reported
from waspi.protocol.response_topic import ResponseTopics
from waspi.protocol.result_envelope import CONTENT_TYPE, encode_result
from waspi.protocol.state_call import StateAnswer, decode_state_call, encode_state_answer
from waspi.protocol.status import StatusChange, encode_status
from waspi.protocol.topics import RouteKind, Topics
from waspi.protocol.trust import TrustedKey

Behaviour = Callable[[Job], "tuple[bytes, ...] | WaspiError | None"]


def append(job: Job) -> tuple[bytes, ...]:
    """The reference guest's answer."""
    return tuple(data + b"<---- This is your string" for data in job.inputs)


class SimulatedDevice:
    """``behaviour`` gives outputs, an error, or ``None`` for silence; ``seen`` is every job message that came."""

    def __init__(
        self,
        url: str,
        device: str = "pi-7",
        *,
        fleet: str = "default",
        groups: tuple[str, ...] = (),
        behaviour: Behaviour = append,
        chunk_bytes: int | None = None,
        keys: dict[str, TrustedKey] | None = None,
        session_expiry_s: int = 3600,
        takes: MessageLimits = MessageLimits(),  # noqa: B008 - frozen
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.id = device
        self.boot = "boot-1"
        self.behaviour = behaviour
        self.groups = groups
        self.online = threading.Event()
        self.told = threading.Condition()
        self.seen: list[Job] = []
        self.runs: list[str] = []
        self.cancelled: list[str] = []
        self.queries = 0
        self.state_calls: list[Incoming] = []
        self.mute = False
        """Whether it answers no call for its state, as an older one does."""
        self._chunk_bytes = chunk_bytes
        self._takes = takes
        self._keys = keys or {}
        self._topics = Topics(fleet)
        self._replies = ResponseTopics(self._topics, device)
        self._results: dict[str, bytes] = {}
        self._outbox: deque[Outgoing] = deque()
        offline = Presence(PresenceState.OFFLINE, self.boot, int(time.time()))
        settings = LinkSettings(
            BrokerAddress.parse(url),
            device,
            username=username,
            password=password,
            session_expiry_s=session_expiry_s,
            max_packet_bytes=takes.packet_bytes or 8 * 1024 * 1024,
            will=Will(self._topics.presence(device), encode_presence(offline), delay_s=0),
        )
        self._loop = LoopThread(f"simulated-{device}")
        self._link = Link(settings, self._loop.selector, self, time.monotonic)
        self._loop.link = self._link

    def __enter__(self) -> Self:
        self._loop.call(self._link.start)
        self._loop.start()
        assert self.online.wait(60), "the simulated device did not come online"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        with self.told:
            assert self.told.wait_for(condition, timeout), "the simulated device saw nothing of that kind"

    def forget(self) -> None:
        """Lose all memory, as a new disk does, and say so."""
        self._results.clear()
        self._loop.call(self._sync)

    # --- LinkHandler ------------------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        del session_present, limits
        self._link.subscribe(list(self._topics.device_filters(self.id, self.groups)))

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        del reason, retry_in_s
        self.online.clear()

    def on_subscribed(self, refused: BrokerError | None) -> None:
        assert refused is None, refused
        presence, reported = self.state()
        self._post(Outgoing(self._topics.presence(self.id), presence, retain=True))
        self._post(Outgoing(self._topics.reported(self.id), reported, retain=True))
        self._sync()
        self.online.set()

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        del token, refused
        while self._outbox and self._link.room > 0:
            self._link.publish(self._outbox.popleft())

    def on_message(self, message: Incoming) -> None:
        route = self._topics.parse(message.topic)
        if route.kind in {RouteKind.DEVICE_JOB, RouteKind.GROUP_JOB}:
            self._on_job(message)
        elif route.kind is RouteKind.STATE_CALL:
            self.state_calls.append(message)
            self._answer_state(message)
        elif route.kind is RouteKind.CANCEL:
            self.cancelled.append(route.item)
        elif route.kind is RouteKind.SYNC_QUERY:
            self.queries += 1
            known = dict.fromkeys(self._results, JobState.SUCCEEDED)
            report = sync.answer(sync.decode_sync_query(message.payload), known, device=self.id, boot=self.boot)
            self._publish(
                self._reply_topic(message) or self._topics.sync(self.id), sync.encode_sync_report(report), message
            )
        self._link.acknowledge(message)
        with self.told:
            self.told.notify_all()

    def state(self) -> tuple[bytes, bytes]:
        """Presence and reported state, as they are published."""
        presence = Presence(PresenceState.ONLINE, self.boot, int(time.time()))
        reported = Reported("0.1.0", "simulated 1.0", "none", self.boot, groups=self.groups, message_limits=self._takes)
        return encode_presence(presence), encode_reported(reported)

    def _answer_state(self, message: Incoming) -> None:
        call = decode_state_call(message.payload)
        topic, correlation = self._reply_topic(message), message.correlation or b""
        delay_s = call.delay_s(self.id, correlation)
        if topic is None or delay_s is None or self.mute:
            return
        answer = encode_state_answer(StateAnswer(self.id, *self.state()))
        said = Outgoing(topic, answer, qos=0, correlation=correlation, content_type=CONTENT_TYPE)
        self._loop.call_later(delay_s, lambda: self._say(said))

    def _say(self, message: Outgoing) -> None:
        if self._link.online:
            self._link.publish(message)

    def _sync(self) -> None:
        jobs = dict.fromkeys(list(self._results)[-sync.MAX_LISTED :], JobState.SUCCEEDED)
        report = sync.SyncReport(self.id, self.boot, jobs, complete=len(self._results) <= sync.MAX_LISTED)
        self._post(Outgoing(self._topics.sync(self.id), sync.encode_sync_report(report)))

    def decoded(self, message: Incoming) -> Job:
        """The job that a message brings."""
        body = message.payload
        if is_signed(body):
            body, _ = verify(body, self._keys, max_bytes=1 << 24)
        return decode_job(body)

    def _on_job(self, message: Incoming) -> None:
        job = self.decoded(message)
        self.seen.append(job)
        if job.id not in self._results:
            outcome = self.behaviour(job)
            self.runs.append(job.id)
            status = StatusChange(job.id, self.id, JobState.IN_PROGRESS, 1, int(time.time() * 1000))
            self._publish(self._topics.status(self.id, job.id), encode_status(status), None)
            if outcome is None:
                return
            self._results[job.id] = encode_result(self._result(job, outcome))
        topic = self._reply_topic(message) or self._topics.result(self.id, job.id)
        envelope = self._results[job.id]
        if self._chunk_bytes is None or len(envelope) <= self._chunk_bytes:
            self._publish(topic, envelope, message)
            return
        for part in chunk.split(envelope, job=job.id, device=self.id, chunk_bytes=self._chunk_bytes):
            self._publish(topic, part, message)

    def _result(self, job: Job, outcome: tuple[bytes, ...] | WaspiError) -> Result:
        if isinstance(outcome, WaspiError):
            state = JobState.REJECTED if isinstance(outcome, UnknownModuleError) else JobState.FAILED
            error = JobError(outcome.fault, outcome.kind, outcome.message, outcome.function, outcome.offset)
            return Result(job.id, self.id, state, batch=job.batch, error=error, log=outcome.log)
        return Result(job.id, self.id, JobState.SUCCEEDED, outcome, batch=job.batch)

    def _reply_topic(self, message: Incoming) -> str | None:
        return None if message.reply_to is None else self._replies.check(message.reply_to)

    def _post(self, message: Outgoing) -> None:
        if self._outbox or self._link.room <= 0:
            self._outbox.append(message)
        else:
            self._link.publish(message)

    def _publish(self, topic: str, payload: bytes, request: Incoming | None) -> None:
        correlation = request.correlation if request is not None else None
        self._post(Outgoing(topic, payload, correlation=correlation, content_type=CONTENT_TYPE))
