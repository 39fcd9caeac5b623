"""Lives of the workload's agent under faults, and what must be true of them all together."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.faultfs import FaultFs
from tests.crash.journal.workload import result_of
from waspi.journal.inspect import summarize
from waspi.journal.reader import Reader

REPOSITORY = Path(__file__).parents[3]


@dataclass(slots=True)
class Lives:
    """Runs the workload, life after life, in processes that are forked from one that has all imports done."""

    server: subprocess.Popen[str]
    faults: FaultFs
    root: Path

    def live(self, folder: Path, jobs: int, *, notes: Path | None = None, durable: bool = True) -> int:
        """One life; its wait status."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(f"{folder} {notes or notes_of(folder)} {jobs} {'full' if durable else 'relaxed'}\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "the server of lives is gone"
        return int(answer)


@contextmanager
def lives(scratch: Path, *, log: Path | None = None, notes: Path | None = None) -> Iterator[Lives]:
    """A server of lives whose faults hit everything under ``<scratch>/state``."""
    root = scratch.resolve() / "state"
    root.mkdir()
    faults = FaultFs(root, scratch, log=log, notes=notes, lazy=True)
    environment = os.environ | faults.environment() | {"PYTHONPATH": f"{REPOSITORY / 'agent'}:{REPOSITORY}"}
    command = [sys.executable, "-m", "tests.crash.journal.workload"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    ) as server:
        yield Lives(server, faults, root)
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(120) == 0
    faults.close()


def notes_of(folder: Path) -> Path:
    """Where the lives in ``folder`` note what they did: beside the watched folder, so that notes cost no faults."""
    return folder.parent.parent / f"{folder.name}.notes"


def killed(status: int) -> bool:
    """Whether SIGKILL ended the life."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def check(
    folder: Path, jobs: int, *, notes: list[str], cut: int | None = None, exact: bool = True, most_runs: int = 2
) -> None:
    """Nothing lost, nothing told in two ways, nothing half done: FAULTS 1-5 over all lives.

    ``exact``: whether the totals are, too; after the journal was lost they may be too high.
    ``notes`` are those of all lives. The last life ended well, so that every job must have its one final result.
    """
    assert not [line for line in notes if line.startswith("damage")], "a kill must not damage the journal"
    runs = Counter(int(line.split()[1]) for line in notes if line.startswith("run "))
    acks = {int(line.split()[1]) for line in notes if line.startswith("ack ")}
    results: dict[int, set[str]] = {}
    for line in notes:
        if line.startswith("publish "):
            _, _, job_id, digest = line.split()
            results.setdefault(int(job_id.removeprefix("job-")), set()).add(digest)
    reader = Reader(folder / "journal.db")
    try:
        for number in range(jobs):
            row = reader.job(f"job-{number}")
            assert row is not None, f"job {number} is lost"
            assert row.state.final, f"job {number} is {row.state}"
            assert row.body == b"", f"job {number} kept its body"
            assert row.result == result_of(number)
            assert number in acks, f"job {number} was never acknowledged"
            assert results[number] == {hashlib.sha256(row.result or b"").hexdigest()}, f"job {number}: results differ"
            # Once; again only where the life that ran it ended before the commit of its result.
            assert 1 <= runs[number] <= most_runs, f"job {number} ran {runs[number]} times (cut at {cut})"
        assert len(reader.recent(jobs + 10)) == jobs
        assert reader.outbox() == []
        assert reader.queued(10) == []
        if exact:
            assert summarize(folder / "journal.db").counters.received == jobs
    finally:
        reader.close()
