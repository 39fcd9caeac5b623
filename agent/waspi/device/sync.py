"""Which jobs the device knows: told after each connect, and to whoever asks (:mod:`waspi.protocol.sync`)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from waspi.errors import WaspiError
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.result_envelope import CONTENT_TYPE
from waspi.protocol.signed_request import SYNC_QUERY, open_request
from waspi.protocol.sync import MAX_LISTED, SyncReport, answer, decode_sync_query, encode_sync_report

if TYPE_CHECKING:
    from waspi.device.clock import Clock
    from waspi.device.jobs import Jobs
    from waspi.device.outbox import Outbox
    from waspi.journal.reader import Reader
    from waspi.protocol.policy import Policy

_log = logging.getLogger(__name__)


class SyncReports:
    """Answers which jobs are known, and in which state."""

    def __init__(self, policy: Policy, reader: Reader, jobs: Jobs, outbox: Outbox, clock: Clock, boot: str) -> None:
        self._policy = policy
        self._reader = reader
        self._jobs = jobs
        self._outbox = outbox
        self._clock = clock
        self._boot = boot

    def on_online(self) -> None:
        """List the newest jobs that the disk knows."""
        rows = self._reader.recent(MAX_LISTED + 1)
        listed = {row.id: row.state for row in rows[:MAX_LISTED]}
        report = SyncReport(self._policy.device, self._boot, listed, complete=len(rows) <= MAX_LISTED)
        topic = self._policy.topics.sync(self._policy.device)
        self._outbox.say(Outgoing(topic, encode_sync_report(report), content_type=CONTENT_TYPE))

    def on_query(self, message: Incoming) -> None:
        """Answer which of some jobs are known; while answers cannot get away, none is looked for."""
        if not self._outbox.takes:
            return
        try:
            clock, reply_to = self._clock.now(), message.reply_to
            body = open_request(self._policy, message.payload, what=SYNC_QUERY, now=clock, reply_to=reply_to)
            asked = decode_sync_query(body)
            topic = self._policy.topics.sync(self._policy.device)
            if message.reply_to is not None:
                topic = self._policy.replies.check(message.reply_to)
        except WaspiError as error:
            _log.warning("a sync query is dropped: %s", error.message)
            return
        states = {job_id: self._state(job_id) for job_id in asked}
        known = {job_id: state for job_id, state in states.items() if state is not None}
        payload = encode_sync_report(answer(asked, known, device=self._policy.device, boot=self._boot))
        self._outbox.say(Outgoing(topic, payload, content_type=CONTENT_TYPE, correlation=message.correlation))

    def _state(self, job_id: str) -> JobState | None:
        job = self._jobs.find(job_id)
        if job is None:
            return self._reader.state(job_id)
        return JobState.IN_PROGRESS if job.state.final else job.state  # an end counts when it is on the disk
