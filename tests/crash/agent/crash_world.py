"""One device whose agent dies at a chosen write, a publisher with every kind of job, and what must hold then."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.faultfs import FaultFs, Mode
from tests.simulators.agent_process import Publisher, TappedAgent
from waspi.journal.reader import Reader
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import InlineModule, NamedModule
from waspi.model.result import Result
from waspi.model.state import JobState
from waspi.protocol.job_envelope import encode_job

JOBS = 9
"""Ids that the scripted workload uses, the plain request included."""
_DEADLINE_S = 60.0
_CONFIG = """\
[modules.append]
path = "{guest}"
version = "1.0.0"
[queue]
workers = 1
[status]
report = "none"
"""


@dataclass(slots=True)
class Report:
    """What the suite found, over all worlds."""

    writes: int = 0
    kills: int = 0
    jobs: int = 0
    starts: int = 0
    duplicates: int = 0
    losses: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"writes tried {self.writes}, kills {self.kills}, jobs {self.jobs}, runs {self.starts}, "
            f"duplicates {self.duplicates}, losses {self.losses}"
        )


class CrashWorld:
    """Runs the workload once; the agent is killed at the ``at``-th write of its state folder and started again."""

    def __init__(self, folder: Path, url: str, name: str, wasm: dict[str, bytes]) -> None:
        self.device = name
        self._wasm = wasm
        guest = folder / "append.wasm"
        guest.parent.mkdir(parents=True)
        guest.write_bytes(wasm["append"])
        (folder / "state").mkdir()
        self.faults = FaultFs(folder / "state", folder, lazy=True)
        self.agent = TappedAgent(
            folder,
            url,
            name,
            environment=self.faults.environment(),
            rest=_CONFIG.format(guest=guest),
        )
        self.publisher = Publisher(url, f"publisher-{name}", device=name)
        self.killed = False
        self._sent: dict[str, Job] = {}

    def run(self, mode: Mode, at: int) -> int:
        """The workload with a fault at write ``at``; how many writes there were until then (``int``)."""
        publisher = self.publisher
        publisher.connect()
        self.faults.arm(mode, at)
        self.agent.start()
        self._come_online()
        self._send_everything()
        publisher.until(lambda: self._answered() or not self.agent.alive, _DEADLINE_S)
        writes = self.faults.count
        if not self.agent.alive:
            self.killed = True
            self._start_again()
        publisher.until(lambda: self._answered() or self._dead_again(), _DEADLINE_S)
        publisher.settle(0.3)  # for whatever comes twice
        if not self.agent.alive:
            self.killed = True
            seen = len(publisher.messages)
            self._start_again()
            publisher.until(lambda: self._online(seen), _DEADLINE_S)
            publisher.settle(0.3)
        self.faults.disarm()
        self._stop()
        return writes

    def check(self, report: Report) -> None:
        """Count what was lost, and what ran or was told twice."""
        report.kills += self.killed
        runs = self.agent.runs()
        report.jobs += JOBS
        report.starts += sum(runs.values())
        for name, job in self._sent.items():
            results = [each for each in self.publisher.results_of(name) if not _is_conflict(each)]
            if not results:
                self._blame(report, "losses", f"{name} was never answered")
                continue
            if len(set(results)) > 1:
                self._blame(report, "duplicates", f"{name} was answered in {len(set(results))} ways: {results}")
            if runs[name] > 1 + self.killed:  # nobody has seen anything of a run whose result was not on the disk
                self._blame(report, "duplicates", f"{name} ran {runs[name]} times")
            self._check_end(report, job, results[0], runs[name])
        plain = [dict(each.user_properties)["job"] for each in self.publisher.plain]
        if len(set(plain)) != 1:
            self._blame(report, "duplicates" if plain else "losses", f"a plain request was taken as {set(plain)}")
        elif runs[plain[0]] > 1 + self.killed:
            self._blame(report, "duplicates", f"a plain request ran {runs[plain[0]]} times")
        self._check_journal(report)

    def close(self) -> None:
        if self.agent.alive:
            self.agent.kill()
        self.publisher.close()
        self.faults.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _send_everything(self) -> None:
        named = NamedModule("append")
        loop = InlineModule(self._wasm["loop"])
        self._send(Job("inline", InlineModule(self._wasm["append"]), (b"a",)))
        self._send(Job("first", named, (b"b",)))
        self._send(Job("second", named, (b"c",)))
        self.publisher.send(b"plain", topic=self.publisher.topics.run(self.device, "append"))
        self._send(Job("batch", named, (b"d", b"e"), batch=True))
        self._send(self._sent["first"])
        conflict = Job("first", named, (b"another body",))
        self.publisher.send(encode_job(conflict))
        self._send(Job("endless", loop, (b"",), limits=Limits(time_ms=60_000)))
        self._send(Job("queued", named, (b"f",), priority=5))
        self._send(Job("waiting", loop, (b"",), limits=Limits(time_ms=60_000), priority=-5))
        self._cancel("waiting")
        self._cancel("endless")
        self._send(Job("last", named, (b"g" * 5000,)))

    def _send(self, job: Job) -> None:
        self._sent[job.id] = job
        self.publisher.send(job)

    def _cancel(self, job_id: str) -> None:
        self.publisher.send(b"", topic=self.publisher.topics.cancel(self.device, job_id), reply_to=None)

    def _answered(self) -> bool:
        done = {each.id for each, _ in self.publisher.results if not _is_conflict(each)}
        return self._sent.keys() <= done and bool(self.publisher.plain)

    def _dead_again(self) -> bool:
        if not self.agent.alive:
            self._start_again()
        return False

    def _come_online(self) -> None:
        """Until the device has subscribed; a life that ended before is followed by one without a fault."""
        publisher = self.publisher
        publisher.until(lambda: self._online() or not self.agent.alive, _DEADLINE_S)
        if not self.agent.alive:
            self.killed = True
            self._start_again()
            publisher.until(self._online, _DEADLINE_S)

    def _online(self, since: int = 0) -> bool:
        topic = self.publisher.topics.presence(self.device)
        return any(each.topic == topic and b"online" in each.payload for each in self.publisher.messages[since:])

    def _start_again(self) -> None:
        self.faults.disarm()
        self.agent.start()

    def _stop(self) -> None:
        try:
            status = self.agent.stop()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent of {self.device} does not stop:\n{self.agent.log}") from None
        assert status == 0, f"the agent of {self.device} ended with {status}:\n{self.agent.log}"

    def _blame(self, report: Report, what: str, text: str) -> None:
        setattr(report, what, getattr(report, what) + 1)
        report.faults.append(f"{self.device}: {text}")

    def _check_end(self, report: Report, job: Job, result: Result, runs: int) -> None:
        if job.id in {"endless", "waiting"}:
            expected = result.state is JobState.CANCELED
        else:
            expected = result.state is JobState.SUCCEEDED and runs >= 1
        if not expected:
            self._blame(report, "losses", f"{job.id} ended {result.state} after {runs} runs: {result.error}")

    def _check_journal(self, report: Report) -> None:
        reader = Reader(self.agent.state / "journal.db")
        try:
            known = reader.recent(100)
            unsettled = [each.id for each in known if not each.state.final]
            if unsettled or len(known) != JOBS or reader.outbox():
                left = [each.entry.topic for each in reader.outbox()]
                self._blame(report, "losses", f"{len(known)} jobs in the journal, {unsettled} open, {left} not sent")
        finally:
            reader.close()


def _is_conflict(result: Result) -> bool:
    return result.error is not None and result.error.kind == "duplicate-id"
