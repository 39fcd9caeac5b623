"""Carries jobs to devices and answers back, across lost connections and brokers that forget.

Everything here happens on the loop's thread. A job stays until its answer came; it is published again, byte for byte,
when the broker lost it or when its device says that it does not know it. Devices run a job once however often it comes.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from waspi.errors import BrokerError, DuplicateJobError, NoAnswerError, RefusedByBrokerError, UnheardError, WaspiError
from waspi.fleet.departures import Departures
from waspi.fleet.event import EventKind, FleetEvent
from waspi.fleet.mailbox import Answer, Mailbox, ProbeBack
from waspi.fleet.pending_job import Delivery, PendingJob
from waspi.fleet.reply_path import PathState, ReplyPath
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.protocol.admission import UNREAD
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.sync import SyncReport, encode_sync_query, pages, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.fleet.loop import LoopThread
    from waspi.fleet.registry import Registry
    from waspi.model.result import Result
    from waspi.model.state import JobState
    from waspi.mqtt.link import Link
    from waspi.protocol.topics import Topics

PROBE_TIMEOUT_S = 5.0
PROBE_EXPIRY_S = 60
UNPROVEN_WAIT_S = 1.0
"""How long retained messages may take where the broker does not let this client probe."""


class Courier:
    """The handler of the client's link."""

    def __init__(self, topics: Topics, path: ReplyPath, registry: Registry, loop: LoopThread) -> None:
        self._topics = topics
        self._path = path
        self._registry = registry
        self._loop = loop
        self._mailbox = Mailbox(topics, path, registry, time.time)
        self._jobs: dict[str, PendingJob] = {}
        self._departures = Departures(path, self._finish)
        self._subscribing: deque[bool] = deque()
        self._filters: list[str] = []
        self._probes: dict[bytes, Callable[[], None]] = {}
        self.on_ready: Callable[[BrokerError | None], None] = lambda _: None
        """Told when answers can come, or why they cannot."""
        self.watchers: list[Callable[[FleetEvent], None]] = []

    @property
    def link(self) -> Link | None:
        """The link, which the client makes with this as its handler."""
        return self._departures.link

    @link.setter
    def link(self, link: Link) -> None:
        self._departures.link = link

    # --- what the client asks for -------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect."""
        if self.link is not None:
            self.link.start()

    def state_of(self, job_id: str) -> Delivery:
        """How far a job is; DONE when it is not known (any more)."""
        job = self._jobs.get(job_id)
        return Delivery.DONE if job is None else job.state

    def said_of(self, job_id: str) -> JobState | None:
        """What a device last said of a job that waits for its answer; ``None`` when it said nothing."""
        job = self._jobs.get(job_id)
        return None if job is None else job.said

    def submit(self, job: PendingJob) -> None:
        """Take a job over."""
        if job.id in self._jobs:
            job.on_failure(DuplicateJobError(f"job {job.id} is already on its way; give each job its own id"))
            return
        self._jobs[job.id] = job
        self._departures.send(job)
        self.follow(self._topics.operator_filters(job.device))
        self._departures.pump()

    def withdraw(self, job_id: str) -> None:
        """Stop caring for a job; whoever still waits is told."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._finish(job, NoAnswerError(f"job {job_id} was forgotten before its answer came"))

    def follow(self, filters: tuple[str, ...]) -> None:
        """Subscribe to what is not subscribed to so far."""
        new = [each for each in filters if each not in self._filters]
        self._filters += new
        if new:
            self._subscribe(new, reply=False)

    def publish(self, message: Outgoing, answered: Callable[[BrokerError | None], None] | None = None) -> None:
        """Publish something that is no job, ahead of the jobs; ``answered`` is told what the broker said."""
        self._departures.publish(message, answered)
        self._departures.pump()

    def probe(self, back: Callable[[], None]) -> None:
        """Call ``back`` when everything that the broker sends for what was asked before has come in."""
        nonce = secrets.token_bytes(16)
        self._probes[nonce] = back

        def answered(refused: BrokerError | None) -> None:
            if refused is not None and nonce in self._probes:
                self._loop.call_later(UNPROVEN_WAIT_S, self._probes.pop(nonce))

        self.publish(Outgoing(self._path.probe, nonce, expires_in_s=PROBE_EXPIRY_S), answered)

    def end(self, error: BaseException | None) -> None:
        """Fail whatever still waits: the loop is over."""
        reason = (
            error if isinstance(error, WaspiError) else NoAnswerError("the client was closed before an answer came")
        )
        for job in list(self._jobs.values()):
            self._finish(job, reason)

    # --- what the link tells ------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Subscribe, prove that answers come, and see to the jobs that were on their way."""
        del limits
        self._path.become(PathState.SUBSCRIBING)
        self._subscribe([self._path.filter], reply=True)
        if self._filters:
            self._subscribe(self._filters, reply=False)
        taken: dict[str, list[str]] = {}
        for job in self._jobs.values():
            if job.state is Delivery.SENT or (job.state is Delivery.TAKEN and not session_present):
                self._again(job)
            elif job.state is Delivery.TAKEN and job.device is not None:
                taken.setdefault(job.device, []).append(job.id)
        for device, ids in taken.items():
            self._ask(device, ids)
        self._departures.pump()

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Keep what was not acknowledged for the next connection."""
        del retry_in_s
        self._path.become(PathState.DOWN)
        self._subscribing.clear()
        self._departures.on_offline()
        self.on_ready(reason)

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Go on to the probe, or say why not."""
        reply = self._subscribing.popleft() if self._subscribing else False
        if not reply or self._path.state is not PathState.SUBSCRIBING:
            return
        if refused is not None:
            self._block(refused)
            return
        self._path.become(PathState.PROBING)
        number = self.link.connection_number if self.link else 0
        self.probe(self._proven)
        self._loop.call_later(PROBE_TIMEOUT_S, lambda: self._unproven(number))

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Note what the broker said to a publish, and use the room that it made."""
        # Not a refusal here: it may be the state or the cancel of a device that has no session. Callers have deadlines.
        self._departures.on_published(token, None if isinstance(refused, UnheardError) else refused)
        self._departures.pump()

    def on_message(self, message: Incoming) -> None:
        """Take in a message and acknowledge it."""
        mail = self._mailbox.read(message)
        if isinstance(mail, Answer):
            self._on_answer(mail)
        elif isinstance(mail, ProbeBack):
            self._probes.pop(mail.nonce, lambda: None)()
        elif isinstance(mail, SyncReport):
            self._on_sync(mail)
        elif isinstance(mail, FleetEvent):
            self._note(mail)
            self._tell(mail)
        if self.link is not None:
            self.link.acknowledge(message)

    # --- how it goes on -----------------------------------------------------------------------------------------

    def _on_answer(self, answer: Answer) -> None:
        result = answer.result
        if result.id.startswith(UNREAD):
            result = self._named(result, answer.correlation)
        self._tell(FleetEvent(EventKind.RESULT, self._registry.get(result.device), time.time(), result=result))
        job = self._jobs.get(result.id)
        if job is None or (answer.correlation is None and answer.private):
            return
        if answer.correlation is not None and answer.correlation != job.correlation:
            return
        if job.take(result):
            self._finish(job)

    def _note(self, event: FleetEvent) -> None:
        job = self._jobs.get(event.status.id) if event.status is not None else None
        if job is not None and event.status is not None and job.is_for(event.status.device):
            job.said = event.status.state

    def _named(self, result: Result, correlation: bytes | None) -> Result:
        """Give a refusal the id of its job: a device that does not trust a job does not read its id, either."""
        for job in self._jobs.values():
            if job.correlation == correlation and job.is_for(result.device):
                return replace(result, id=job.id)
        return result

    def _on_sync(self, report: SyncReport) -> None:
        mine = {
            job.id for job in self._jobs.values() if job.state is Delivery.TAKEN and self._waits_for(job, report.device)
        }
        todo = reconcile(report, mine)
        for job_id in sorted(todo.resend):
            self._again(self._jobs[job_id])
        if todo.ask:
            self._ask(report.device, todo.ask)
        self._departures.pump()

    def _waits_for(self, job: PendingJob, device: str) -> bool:
        if job.group is not None and job.group not in self._registry.get(device).groups:
            return False
        return job.is_for(device) and device not in job.answered

    def _ask(self, device: str, ids: list[str] | frozenset[str]) -> None:
        for page in pages(ids):
            query = encode_sync_query(page)
            topic = self._topics.sync_query(device)
            self._departures.publish(Outgoing(topic, query, reply_to=self._path.sync, content_type=CONTENT_TYPE))

    def _tell(self, event: FleetEvent) -> None:
        for watcher in self.watchers:
            watcher(event)

    def _subscribe(self, filters: list[str], *, reply: bool) -> None:
        if self.link is not None and self.link.online:
            self._subscribing.append(reply)
            self.link.subscribe(filters)

    def _proven(self) -> None:
        if self._path.state is PathState.PROBING:
            self._path.become(PathState.OPEN)
            self.on_ready(None)
            self._departures.pump()

    def _unproven(self, connection: int) -> None:
        if self._path.state is PathState.PROBING and self.link and self.link.connection_number == connection:
            self._block(
                RefusedByBrokerError(
                    f"the broker keeps {self._path.filter} from this client: let this user read it in the access list"
                )
            )

    def _block(self, reason: BrokerError) -> None:
        self._path.become(PathState.BLOCKED)
        self.on_ready(reason)
        for job in list(self._jobs.values()):
            self._finish(job, reason)

    def _again(self, job: PendingJob) -> None:
        job.become(Delivery.WAITING)
        self._departures.send(job)

    def _finish(self, job: PendingJob, error: WaspiError | None = None) -> None:
        job.become(Delivery.DONE)
        self._jobs.pop(job.id, None)
        if error is not None:
            job.on_failure(error)
