"""A client's session: jobs out and answers back, across lost connections and brokers that forget.

Everything here happens on the loop's thread, but for what says so. A job stays until its answer came; it is published
again, byte for byte, when the broker lost it or when its device says that it does not know it. Devices run a job once
however often it comes.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from waspi.errors import BrokerError, DuplicateJobError, NoAnswerError, RefusedByBrokerError, WaspiError
from waspi.fleet.event import EventKind, FleetEvent
from waspi.fleet.fit import FITS_ALWAYS
from waspi.fleet.inbox import Answer, Inbox, ProbeBack
from waspi.fleet.loop import LoopThread
from waspi.fleet.pending_job import Delivery, PendingJob
from waspi.fleet.registry import Registry
from waspi.fleet.reply_path import PathState, ReplyPath
from waspi.fleet.send_queue import SendQueue
from waspi.fleet.state_survey import StateSurvey
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.protocol.admission import UNREAD
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.signed_request import SYNC_QUERY, sign_request
from waspi.protocol.state_call import StateAnswer
from waspi.protocol.sync import SyncReport, encode_sync_query, pages, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from waspi.fleet.key_file import KeyFile
    from waspi.model.result import Result
    from waspi.model.state import JobState
    from waspi.mqtt.settings import LinkSettings
    from waspi.protocol.topics import Topics

PROBE_PATIENCE_S: Final = 5.0
"""How long a probe that the broker has taken may need to come back before the access list is suspected."""
PROBE_LEAST_OFTEN_S: Final = 60.0
"""Probes repeat, ever more slowly, until one comes back."""
PROBE_EXPIRY_S: Final = 60
UNPROVEN_WAIT_S: Final = 1.0
"""How long retained messages may take where the broker does not let this client probe."""
RESEND_FIRST_S: Final = 1.0
"""A job that was sent again on a device's word is not sent so again before this; it doubles each time."""
RESEND_LEAST_OFTEN_S: Final = 60.0
MOST_QUERIES: Final = 1024
_SIGNED_REQUEST_S: Final = 3600
"""Seconds for which a signed cancel or query holds."""
"""Sync queries whose answer is waited for; the oldest go first."""

log = logging.getLogger(__name__)


class _Wish(NamedTuple):
    """How a subscription is wanted."""

    qos: int = 1
    retained: bool = True
    """With what the broker has kept."""


class ClientSession:
    """The handler of the client's link, and the loop that both run on."""

    def __init__(
        self,
        settings: LinkSettings,
        topics: Topics,
        on_ready: Callable[[BrokerError | None], None],
        signing_key: KeyFile | None = None,
    ) -> None:
        """``on_ready`` is told when answers can come, or why they cannot; ``signing_key`` signs what it asks."""
        self._signing_key = signing_key
        self.registry = Registry()
        self.loop = LoopThread(f"waspi-{settings.client_id}")
        self.watchers: list[Callable[[FleetEvent], None]] = []
        self._topics = topics
        self._on_ready = on_ready
        self._path = ReplyPath(settings.client_id)
        self._queries: dict[bytes, str] = {}
        """Correlation Data of a sync query to the device that was asked."""
        self.calls: dict[bytes, StateSurvey] = {}
        """Correlation Data of a call for states to who called."""
        self._inbox = Inbox(topics, self._path, self.registry, time.time, self._queries, self.calls)
        self._link = self.loop.link = Link(settings, self.loop.selector, self, time.monotonic)
        self.loop.on_end = self._end
        self._queue = SendQueue(self._link, self._path, self.registry, self._finish)
        self._jobs: dict[str, PendingJob] = {}
        self._by_correlation: dict[bytes, PendingJob] = {}
        self._of_device: dict[str | None, dict[str, PendingJob]] = {}
        """The same jobs by device; those of groups under ``None``."""
        self._held: dict[str, list[PendingJob]] = {}
        """By device: a large job until it is known what the device takes, and those that came after it."""
        self._subscribing: deque[bool] = deque()
        self._filters: dict[str, _Wish] = {}
        self._probes: dict[bytes, Callable[[], None]] = {}
        self._survey: StateSurvey | None = None
        """The last that came to its end on this connection."""
        self._surveyed_at = -math.inf
        self._was_open = False

    # --- what the client asks for -------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect. From any thread, once."""
        self.loop.call(self._link.start)
        self.loop.start()

    def state_of(self, job_id: str) -> Delivery:
        """How far a job is; DONE when it is not known (any more). From any thread."""
        job = self._jobs.get(job_id)
        return Delivery.DONE if job is None else job.state

    def said_of(self, job_id: str) -> JobState | None:
        """What a device last said of a job that waits for its answer; ``None``: nothing. From any thread."""
        job = self._jobs.get(job_id)
        return None if job is None else job.said

    def unheard(self, job_id: str) -> bool:
        """Whether the broker said that nobody is subscribed to where the job went. From any thread."""
        job = self._jobs.get(job_id)
        return job is not None and job.unheard

    @property
    def path_open(self) -> bool:
        """Whether answers can come at present. From any thread."""
        return self._path.open

    def submit(self, job: PendingJob) -> None:
        """Take a job over."""
        if job.id in self._jobs:
            job.on_failure(DuplicateJobError(f"job {job.id} is already on its way; give each job its own id"))
            return
        self._jobs[job.id] = self._by_correlation[job.correlation] = job
        self._of_device.setdefault(job.device, {})[job.id] = job
        self.follow(self._topics.operator_filters(job.device))
        device = job.device
        if device in self._held:
            self._held[device].append(job)
        elif device is not None and len(job.body) > FITS_ALWAYS and self.registry.get(device).reported is None:
            self._held[device] = [job]
            self.probe(lambda: self._release(device))  # what the broker keeps of the device comes before it
            self.loop.call_later(PROBE_PATIENCE_S, lambda: self._release(device))
        else:
            self._queue.send(job)
        self._queue.pump()

    def _release(self, device: str) -> None:
        """Send what was held for ``device``; it is known now what it takes, or it will not be known soon."""
        for job in self._held.pop(device, ()):
            self._queue.send(job)
        self._queue.pump()

    def withdraw(self, job_id: str) -> None:
        """Stop caring for a job; whoever still waits is told."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._finish(job, NoAnswerError(f"job {job_id} was forgotten before its answer came"))

    def follow(self, filters: Iterable[str], wish: _Wish = _Wish()) -> None:  # noqa: B008 - frozen
        """Subscribe to what is not subscribed to so far."""
        new = [each for each in filters if each not in self._filters]
        self._filters.update(dict.fromkeys(new, wish))
        if new:
            self._subscribe(new, wish)

    def follow_states(self) -> None:
        """Hear of every device that comes, goes or changes, and get a hint of those that there are.

        Presence with QoS 0: of what is kept a broker drops less so. Reports are changes alone, without what is kept.
        """
        presence, reported = (f"{self._topics.root}/device/+/{what}" for what in ("presence", "reported"))
        self.follow([presence], _Wish(qos=0))
        self.follow([reported], _Wish(retained=False))

    def watch(self, watcher: Callable[[FleetEvent], None]) -> None:
        """Have ``watcher`` told everything from now on, and first what the devices are."""
        self.watchers.append(watcher)
        self.follow_states()
        rest = [each for each in self._topics.operator_filters() if not each.endswith(("/presence", "/reported"))]
        self.follow(rest, _Wish(retained=False))
        self.survey(lambda _: None, 0.0)

    def peek(self, topics: list[str], back: Callable[[], None]) -> None:
        """Have what is kept on these topics taken in, then call ``back``."""
        new = [each for each in topics if each not in self._filters]

        def done() -> None:
            self._link.unsubscribe(new)
            back()

        if new:
            self._subscribe(new)
        self.probe(done if new else back)

    def look(self, device: str, back: Callable[[], None]) -> None:
        """Have what is kept of ``device`` taken in, and what it says from now on, then call ``back``."""
        self.follow(self._topics.operator_filters(device))
        self.probe(back)

    @property
    def reply_folder(self) -> str:
        """Response Topic of this client's requests."""
        return self._path.folder

    def survey(self, done: Callable[[frozenset[str]], None], max_age_s: float) -> None:
        """Ask the fleet for its state; ``done`` is told which devices that should be there did not answer.

        A look that is not older than ``max_age_s`` will do: since then changes were told as they came.
        """
        if self._survey is not None and time.monotonic() - self._surveyed_at <= max_age_s:
            heard = self._survey.heard
            self.probe(lambda: done(self._silent(heard)))
            return
        survey: StateSurvey

        def end() -> None:
            self._survey = survey
            self._surveyed_at = time.monotonic()
            done(self._silent(survey.heard))

        survey = StateSurvey(self, self._topics, end)
        survey.start()

    def _silent(self, heard: set[str]) -> frozenset[str]:
        return frozenset(view.id for view in self.registry.all().values() if view.online and view.id not in heard)

    def publish(self, message: Outgoing, answered: Callable[[BrokerError | None], None] | None = None) -> None:
        """Publish something that is no job, ahead of the jobs; ``answered`` is told what the broker said."""
        self._queue.publish(message, answered)
        self._queue.pump()

    def probe(self, back: Callable[[], None], taken: Callable[[], None] = lambda: None) -> None:
        """Call ``back`` when everything that the broker sends for what was asked before has come in.

        ``taken`` is called when the broker has the probe.
        """
        nonce = secrets.token_bytes(16)
        self._probes[nonce] = back

        def answered(refused: BrokerError | None) -> None:
            if refused is None:
                taken()
            elif nonce in self._probes:
                self.loop.call_later(UNPROVEN_WAIT_S, self._probes.pop(nonce))

        self.publish(Outgoing(self._path.probe, nonce, expires_in_s=PROBE_EXPIRY_S), answered)

    # --- what the link tells ------------------------------------------------------------------------------------

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Subscribe, prove that answers come, and see to the jobs that were on their way."""
        del limits
        self._path.become(PathState.SUBSCRIBING)
        self._subscribe([self._path.filter], reply=True)
        for wish in sorted(set(self._filters.values())):
            self._subscribe([each for each, wished in self._filters.items() if wished == wish], wish)
        for device, jobs in self._of_device.items():
            taken = [job for job in jobs.values() if job.state is Delivery.TAKEN]
            for job in list(jobs.values()):
                if job.state is Delivery.SENT or (job.state is Delivery.TAKEN and not session_present):
                    self._again(job)
            if device is not None and session_present:
                self._ask(device, [job.id for job in taken])
        self._queue.pump()

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Keep what was not acknowledged for the next connection."""
        del retry_in_s
        self._path.become(PathState.DOWN)
        self._subscribing.clear()
        self._queries.clear()
        self.calls.clear()
        self._survey = None
        self._queue.on_offline()
        self._on_ready(reason)

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Go on to the probe, or say why not."""
        reply = self._subscribing.popleft() if self._subscribing else False
        if not reply or self._path.state is not PathState.SUBSCRIBING:
            return
        if refused is not None:
            self._block(refused)
            return
        self._path.become(PathState.PROBING)
        self._prove(self._link.connection_number, PROBE_PATIENCE_S)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Note what the broker said to a publish, and use the room that it made."""
        self._queue.on_published(token, refused)
        self._queue.pump()

    def on_message(self, message: Incoming) -> None:
        """Take in a message and acknowledge it."""
        heard = self._inbox.read(message)
        if isinstance(heard, Answer):
            self._on_answer(heard)
        elif isinstance(heard, ProbeBack):
            self._probes.pop(heard.nonce, lambda: None)()
        elif isinstance(heard, SyncReport):
            self._on_sync(heard, message.correlation)
        elif isinstance(heard, StateAnswer):
            self._on_state(heard, message.correlation or b"")
        elif isinstance(heard, FleetEvent):
            self._note(heard)
            self._tell(heard)
        self._link.acknowledge(message)

    # --- how it goes on -----------------------------------------------------------------------------------------

    def _end(self, error: BaseException | None) -> None:
        """Fail whatever still waits: the loop is over."""
        closed = NoAnswerError("the client was closed before an answer came")
        reason = error if isinstance(error, WaspiError) else closed
        for job in list(self._jobs.values()):
            self._finish(job, reason)
        self._on_ready(NoAnswerError("the client ended before the broker answered"))

    def _on_answer(self, answer: Answer) -> None:
        if answer.private:
            self._proven()  # a probe could not say it better
        result = answer.result
        if result.id.startswith(UNREAD):
            result = self._named(result, answer.correlation)
        self._tell(FleetEvent(EventKind.RESULT, self.registry.get(result.device), time.time(), result=result))
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
        job = None if correlation is None else self._by_correlation.get(correlation)
        return result if job is None or not job.is_for(result.device) else replace(result, id=job.id)

    def _on_sync(self, report: SyncReport, correlation: bytes | None) -> None:
        if correlation is not None and self._queries.pop(correlation, report.device) != report.device:
            return  # another device was asked
        mine = {job.id for job in self._waiting_for(report.device)}
        todo = reconcile(report, mine)
        now = time.monotonic()
        for job_id in sorted(todo.resend):
            self._resend(self._jobs[job_id], report.device, now)
        self._ask(report.device, todo.ask)
        self._queue.pump()

    def _on_state(self, answer: StateAnswer, correlation: bytes) -> None:
        device = answer.device
        if self.registry.presence(device, answer.presence):
            self._tell(FleetEvent(EventKind.PRESENCE, self.registry.get(device), time.time()))
        if self.registry.reported(device, answer.reported):
            self._tell(FleetEvent(EventKind.REPORTED, self.registry.get(device), time.time()))
        self.calls[correlation].on_answer(answer)

    def _waiting_for(self, device: str) -> list[PendingJob]:
        jobs = list(self._of_device.get(device, {}).values())
        groups = self.registry.get(device).groups
        jobs += [
            job for job in self._of_device.get(None, {}).values() if job.group in groups and device not in job.answered
        ]
        return [job for job in jobs if job.state is Delivery.TAKEN]

    def _resend(self, job: PendingJob, device: str, now: float) -> None:
        """Send a job again because a device says so: at once the first time, then ever more slowly."""
        if now < job.resend_at:
            return
        delay = min(RESEND_LEAST_OFTEN_S, RESEND_FIRST_S * 2**job.resends)
        job.resends += 1
        job.resend_at = now + delay
        self._again(job)

        def look_again() -> None:
            if self._jobs.get(job.id) is job and self._link.online:
                self._ask(device, [job.id])

        self.loop.call_later(delay, look_again)  # what the device said meanwhile was not listened to

    def _signed(self, query: bytes, device: str) -> bytes:
        key = self._signing_key
        if key is None:
            return query
        return signed_by(key, query, what=SYNC_QUERY, device=device, reply_to=self._path.folder)

    def _ask(self, device: str, ids: Iterable[str]) -> None:
        for page in pages(ids):
            nonce = secrets.token_bytes(16)
            self._queries[nonce] = device
            if len(self._queries) > MOST_QUERIES:
                del self._queries[next(iter(self._queries))]
            query = Outgoing(
                self._topics.sync_query(device),
                self._signed(encode_sync_query(page), device),
                reply_to=self._path.folder,
                correlation=nonce,
                content_type=CONTENT_TYPE,
            )
            self._queue.publish(query)

    def _tell(self, event: FleetEvent) -> None:
        for watcher in list(self.watchers):
            try:
                watcher(event)
            except Exception:
                log.exception("a watcher failed, and is told nothing any more; the client goes on")
                self.watchers.remove(watcher)

    def _subscribe(self, filters: list[str], wish: _Wish = _Wish(), *, reply: bool = False) -> None:  # noqa: B008 - frozen
        if self._link.online:
            self._subscribing.append(reply)
            self._link.subscribe(filters, qos=wish.qos, retained=wish.retained)

    def _prove(self, connection: int, patience_s: float) -> None:
        def waits() -> bool:
            return not self._path.open and self._link.online and self._link.connection_number == connection

        def taken() -> None:
            self.loop.call_later(patience_s, late)

        def late() -> None:
            if not waits():
                return
            if not self._was_open and self._path.state is PathState.PROBING:
                self._block(
                    RefusedByBrokerError(
                        f"the broker keeps {self._path.filter} from this client: "
                        "let this user read it in the access list"
                    )
                )
            self._prove(connection, min(PROBE_LEAST_OFTEN_S, 2 * patience_s))

        if waits():
            self.probe(self._proven, taken)

    def _proven(self) -> None:
        if self._path.state in {PathState.PROBING, PathState.BLOCKED}:
            self._path.become(PathState.OPEN)
            self._was_open = True
            self._on_ready(None)
            self._queue.pump()

    def _block(self, reason: BrokerError) -> None:
        self._path.become(PathState.BLOCKED)
        self._on_ready(reason)
        for job in list(self._jobs.values()):
            self._finish(job, reason)

    def _again(self, job: PendingJob) -> None:
        job.become(Delivery.WAITING)
        self._queue.send(job)

    def _finish(self, job: PendingJob, error: WaspiError | None = None) -> None:
        job.become(Delivery.DONE)
        self._jobs.pop(job.id, None)
        self._by_correlation.pop(job.correlation, None)
        jobs = self._of_device.get(job.device, {})
        jobs.pop(job.id, None)
        if not jobs:
            self._of_device.pop(job.device, None)
        if error is not None:
            job.on_failure(error)


def signed_by(key: KeyFile, body: bytes, *, what: str, device: str, reply_to: str | None = None) -> bytes:
    """A request that is no job, signed; it expires in an hour."""
    expires_at = int(time.time()) + _SIGNED_REQUEST_S
    return sign_request(
        body, what=what, device=device, expires_at=expires_at, seed=key.seed(), kid=key.id, reply_to=reply_to
    )
