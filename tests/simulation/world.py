"""The model that the life of jobs is held against: who sent what, what ran, what was answered."""

from __future__ import annotations

import hashlib
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulators.virtual_device import DEVICE, MODULE, VirtualDevice
from waspi.journal.rows import JobRow
from waspi.journal.writer import LINGER_S
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.model.state import JobState
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol.job_envelope import encode_job
from waspi.protocol.result_envelope import decode_result
from waspi.protocol.topics import Topics
from waspi.sandbox.task import Task

LIMIT_S = 400.0
"""Virtual seconds within which everything has to be answered once nothing fails any more."""
MOST_DEATHS = 4
"""Times that a job may take the device down: three that are numbered on the disk, after one that left no trace."""
BACK_S = 50.0
"""Virtual seconds after the device's connection within which a publisher that was away is back: the device waits 60."""


def quick_folder() -> Path:
    """A new folder in memory where there is such a place: here the disk fails as the test says, not as it does."""
    return Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108 - mkdtemp is safe


@dataclass(slots=True)
class Sent:
    """A job that the publisher wants answered."""

    job: Job
    body: bytes
    plain: bool = False
    canceled: bool = False
    fatal: bool = False
    """Whether each start of it takes the device down."""
    deaths: int = 0
    """Lives of the agent that ended when it had begun (or was counted for that) and its end was not on the disk."""
    restarts: int = 0
    """The same, orderly stops included."""
    numbered: int = 0
    """Starts of it that were on the disk when the present life began."""
    answers: list[bytes] = field(default_factory=list)
    states: list[JobState] = field(default_factory=list)
    plain_ids: set[str] = field(default_factory=set)


class World:
    """A publisher, a broker, a device. Each method is one thing that can happen; :meth:`check` says what must hold."""

    def __init__(self, folder: Path, *, at_once: bool = False) -> None:
        self.topics = Topics("default")
        self.sent: dict[str, Sent] = {}
        self.conflicts: dict[str, int] = {}
        self.clock_jumped = False
        """Whether somebody has set the clock: then an expiry is whatever the device makes of it."""
        self.doomed = False
        """Whether a job has begun that takes the device down."""
        self.messages_lost = False
        """Whether the broker lost what it had taken, from or for the device, so that the publisher must ask again."""
        self._connected_at = 0.0
        self._life = 0
        """Starts before the present life of the agent."""
        self.device = VirtualDevice(folder, self._on_publish, at_once=at_once)
        self._watch()

    # --- what can happen ----------------------------------------------------------------------------------------------

    def send(self, *, plain: bool, priority: int, lives_s: float | None) -> None:
        """A new job; its input is like no other's."""
        name = f"job-{len(self.sent)}"
        if plain:
            job = Job(name, NamedModule(MODULE), (name.encode(),))
            sent = Sent(job, name.encode(), plain=True)
        else:
            expires_at = None if lives_s is None else self.device.time.wall() + lives_s
            job = Job(
                name,
                NamedModule(MODULE),
                (name.encode(),),
                priority=priority,
                expires_at=expires_at,
            )
            sent = Sent(job, encode_job(job))
        self.sent[name] = sent
        self._deliver(sent)

    def send_fatal(self) -> None:
        """A job that takes the device down whenever it starts; one in a world is enough."""
        if not any(each.fatal for each in self.sent.values()):
            self.send(plain=False, priority=0, lives_s=None)
            self.sent[f"job-{len(self.sent) - 1}"].fatal = True

    def send_many(self, number: int) -> None:
        """A burst, as of a publisher that was away."""
        for _ in range(number):
            self.send(plain=False, priority=0, lives_s=None)

    def send_again(self, index: int) -> None:
        """The same job once more; who sends plainly cannot."""
        again = [each for each in self.sent.values() if not each.plain]
        if again:
            self._deliver(again[index % len(again)])

    def send_conflict(self, index: int) -> None:
        """Another job under an id that the device remembers: that of a job which was never taken is free."""
        ran = (JobState.SUCCEEDED, JobState.FAILED)
        known = [each for each in self.sent.values() if not each.plain and each.states and each.states[0] in ran]
        if known:
            job = known[index % len(known)].job
            self.conflicts[job.id] = 1
            other = Job(job.id, job.module, (b"conflict with " + job.inputs[0],))
            self._publish(self.topics.device_job(DEVICE), encode_job(other), job.id)

    def cancel(self, index: int) -> None:
        """Somebody wants a job to stop."""
        jobs = [each for each in self.sent.values() if not each.plain]
        if jobs:
            chosen = jobs[index % len(jobs)]
            chosen.canceled = True
            self._publish(self.topics.cancel(DEVICE, chosen.job.id), b"", None)

    def connect(self) -> None:
        if not self.device.link.online:
            self._connected_at = self.device.time.monotonic()
        self.device.link.connect()
        self.device.step()

    def cut(self) -> None:
        self.device.link.cut()
        self.device.step()

    def forget(self) -> None:
        """The broker dies and comes back with an empty store."""
        self.messages_lost = True
        self.device.link.cut()
        self.device.broker.forget()
        self.device.step()

    def carry_up(self) -> None:
        self.device.link.carry_up()

    def carry_down(self, index: int = 0) -> None:
        if self.device.link.carry_down(index):
            self.device.step()

    def carry_puback(self, index: int = 0) -> None:
        if self.device.link.carry_puback(index):
            self.device.step()

    def commit(self) -> None:
        """The disk takes a batch; what follows from that waits for :meth:`turn`."""
        self.device.disk.commit()

    def refuse(self) -> None:
        """The disk is full."""
        self.device.disk.commit(refuse=True)

    def turn(self) -> None:
        self.device.turn()

    def finish(self, index: int, *, fail: bool) -> None:
        inside = list(self.device.pool.inside)
        if inside:
            self.device.pool.finish(inside[index % len(inside)], fail=fail)
            self.device.turn()

    def advance(self, seconds: float) -> None:
        self.device.time.advance(seconds)
        self.device.turn()

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.clock_jumped = True
        self.device.time.set_wall(self.device.time.wall() + seconds)

    def stop(self) -> None:
        """An orderly stop, and the next start."""
        self._check_writer()
        agent = self.device.agent
        agent._on_signal(signal.SIGTERM, None)
        for _ in range(20):
            if agent._finished():
                break
            self.device.link.carry_up()
            self.device.link.carry_puback()
            self.device.disk.commit()
            self.device.time.advance(0.5)
            agent._step()
        self._note_deaths(counted=False)
        self.device.disk.refuses = False  # else starts cannot be given back, and count
        self.device.stop()
        self.device.start()
        self._watch()

    def broker_refuses(self, *, refuses: bool) -> None:
        """Publishes of results are refused, until they are not."""
        self.messages_lost |= refuses  # the refusal of a job is told once, and not kept
        self.device.broker.refuses = lambda message: refuses and message.topic.startswith("reply/")

    def publisher_away(self, *, away: bool) -> None:
        """The publisher has no subscription, until it is back; ``BACK_S`` after the device at the latest."""
        self.messages_lost |= away  # as above
        time = self.device.time
        self.device.broker.unheard = lambda message: (
            away and message.topic.startswith("reply/") and time.monotonic() < self._connected_at + BACK_S
        )

    def crash(self) -> None:
        self._check_writer()
        self._note_deaths(counted=True)
        self.device.crash()
        self.device.start()
        self._watch()

    def _note_deaths(self, *, counted: bool) -> None:
        """The agent's life ends: which jobs had begun, and their ends are not on the disk?"""
        open_jobs = [job.id for job in self.device.agent._jobs._jobs.values()]
        began = {task.inputs[0].decode() for task in self.device.starts[self._life :] if task.job_id in open_jobs}
        found = {name: self._journaled(name) for name in self.sent}
        rows = {name: row for name, row in found.items() if row is not None and not row.state.final}
        self._life = len(self.device.starts)
        self.doomed = False
        for name, each in self.sent.items():
            begun = name in began
            numbered = rows[name].attempt if name in rows else 0
            each.restarts += begun or numbered > each.numbered
            each.deaths += counted and (begun or numbered > each.numbered)

    # --- and must hold ------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing fails any more: run until nothing is left to do. The publisher sends again what the broker lost."""
        self.broker_refuses(refuses=False)
        self.publisher_away(away=False)
        device = self.device
        device.disk.refuses = False
        self.connect()
        self._exhaust()
        if self.messages_lost:
            for each in self.sent.values():
                if not each.plain and not each.answers and self._journaled(each.job.id) is None:
                    self._deliver(each)
        end = device.time.monotonic() + LIMIT_S
        while True:
            self._exhaust()
            if device.time.monotonic() > end:
                break
            device.time.advance(min(device.idle_for() + 0.001, 30.0))
        device.time.advance(LINGER_S)  # for the rows that the broker has taken
        self._exhaust()

    def check(self) -> None:
        """Each job has one end, told in the same words whenever it was told, and ran again only after a crash."""
        self.heal()
        self._check_writer()
        reader = self.device.agent._journal.reader
        runs = self._runs()
        for name, sent in self.sent.items():
            started = runs.get(name, [])
            if sent.plain:
                assert len(sent.plain_ids) <= 1, f"{name} was taken for {len(sent.plain_ids)} requests"
            if not sent.answers:
                assert sent.plain, f"{name} was never answered"
                assert self.messages_lost, f"{name} was never answered"
                assert len(started) <= sent.restarts, f"{name} ran and was never answered"
                continue
            if self.clock_jumped and len(set(sent.states)) > 1:
                # Refused as expired, which is not remembered, and sent again when the clock was set back.
                told = [each for each in zip(sent.states, sent.answers, strict=True) if each[0] is not JobState.EXPIRED]
                sent.states, sent.answers = [state for state, _ in told], [answer for _, answer in told]
            assert len(set(sent.states)) == 1, f"{name} ended as {sent.states}"
            if sent.states[0] is not JobState.EXPIRED:  # a refusal says how long ago that was
                assert len(set(sent.answers)) == 1, f"{name} was answered in {len(set(sent.answers))} ways"
            assert len(started) <= 1 + sent.restarts, f"{name} was started {len(started)} times"
            self._check_end(name, sent, started)
        assert reader.queued(10) == []
        assert reader.outbox() == []
        assert self.device.broker.holds == 0, "a message was never acknowledged"
        cache = self.device.agent._cache
        assert sum(cache._pins.values()) == 1, "only the configured module is pinned"
        assert self.device.agent._writer.idle
        jobs = self.device.agent._jobs
        assert jobs._jobs == {}
        assert (jobs.unkept, jobs.unkept_bytes, jobs.running, jobs._counting) == (0, 0, 0, set())

    def close(self) -> None:
        self.device.crash()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check_end(self, name: str, sent: Sent, started: list[int]) -> None:
        state = sent.states[0]
        if state is JobState.SUCCEEDED:
            outputs = {b"run %d of " % number + sent.job.inputs[0] for number in started}
            said = sent.answers[0] if sent.plain else decode_result(sent.answers[0]).outputs[0]
            assert said in outputs, f"{name} was answered with what no run of it yielded"
        elif state is JobState.CANCELED:
            assert sent.canceled
        elif state is JobState.EXPIRED:
            assert sent.job.expires_at is not None
            assert len(started) <= sent.restarts, "it ran, its device lived on, and it has expired"
        else:
            assert state is JobState.FAILED
            if not sent.plain:
                error = decode_result(sent.answers[0]).error
                assert error is not None
                assert error.kind != "crashed-device" or sent.deaths > 1, f"{name} is blamed for a crash"
        if sent.fatal and state is not JobState.CANCELED:
            assert state is JobState.FAILED, f"{name} takes the device down, and ended as {state}"
            # Sent anew to a broker that forgot, it is another delivery, of which nothing is known.
            most = MOST_DEATHS + (sent.deaths if self.messages_lost else 0)
            assert sent.deaths <= most, f"{name} has taken the device down {sent.deaths} times"

    def _journaled(self, job_id: str) -> JobRow | None:
        return self.device.agent._journal.reader.job(job_id)

    def _runs(self) -> dict[str, list[int]]:
        runs: dict[str, list[int]] = {}
        for number, task in enumerate(self.device.starts):
            runs.setdefault(task.inputs[0].decode(), []).append(number)
        return runs

    def _check_writer(self) -> None:
        assert self.device.disk.illegal == [], "the device asked the journal for what the table forbids"

    def _exhaust(self) -> None:
        """Carry, commit and run until nothing moves without time."""
        self._carry_on()

    def _carry_on(self) -> None:
        device = self.device
        moved = True
        while moved:
            moved = device.link.carry_up()
            if device.link.carry_down() or device.link.carry_puback():
                device.step()
                moved = True
            moved = device.disk.commit() or moved
            for job_id in [] if self.doomed else list(device.pool.inside):
                device.pool.finish(job_id)
            moved = device.turn() or moved
            if self.doomed:
                self.crash()
                self.connect()
                device = self.device
                moved = True

    def _deliver(self, sent: Sent) -> None:
        name = sent.job.id
        topic = self.topics.run(DEVICE, MODULE) if sent.plain else self.topics.device_job(DEVICE)
        self._publish(topic, sent.body, name)

    def _publish(self, topic: str, payload: bytes, name: str | None) -> None:
        self.device.broker.deliver(
            topic,
            payload,
            reply_to=f"reply/{name or 'none'}",
            correlation=name.encode() if name else None,
            retain=False,
        )

    def _on_publish(self, message: Outgoing) -> None:
        if not message.topic.startswith("reply/"):
            return
        sent = self.sent[message.topic.removeprefix("reply/")]
        assert message.correlation == sent.job.id.encode()
        if sent.plain:
            properties = dict(message.user_properties)
            sent.plain_ids.add(properties["job"])
            sent.states.append(JobState(properties["state"]))
            sent.answers.append(message.payload)
            return
        result = decode_result(message.payload)
        assert result.state.final
        if result.error is not None and result.error.kind == "duplicate-id":
            assert self.conflicts[result.id]
            return
        sent.states.append(result.state)
        sent.answers.append(message.payload)

    def _watch(self) -> None:
        for name, each in self.sent.items():
            row = self._journaled(name)
            each.numbered = row.attempt if row is not None else 0  # an orderly stop has given starts back
        self.device.link.on_acknowledge = self._on_acknowledge
        submit = self.device.pool.submit

        def watched(task: Task) -> None:
            row = self._journaled(task.job_id)
            assert row is None or not row.state.final, f"{task.job_id} is started, and its end is on the disk"
            submit(task)
            sent = self.sent.get(task.inputs[0].decode())
            self.doomed = self.doomed or (sent is not None and sent.fatal)

        self.device.pool.submit = watched  # type: ignore[method-assign]

    def _on_acknowledge(self, message: Incoming) -> None:
        """A job that is acknowledged is on the disk, or was refused."""
        reader = self.device.agent._journal.reader
        if message.topic == self.topics.run(DEVICE, MODULE):
            row = reader.by_delivery(message.packet_id, hashlib.sha256(message.payload).digest())
            assert row is not None, "a plain request is acknowledged and not in the journal"
        elif message.topic == self.topics.device_job(DEVICE) and not message.payload.count(b"conflict"):
            assert message.correlation is not None
            job = self.sent[message.correlation.decode()].job
            refused = job.expires_at is not None and (job.expires_at <= self.device.time.wall() or self.clock_jumped)
            assert refused or reader.job(job.id) is not None, f"{job.id} is acknowledged and not in the journal"
