"""A release's golden pairs, run one after the other in the sandbox with the release's own limits."""

from __future__ import annotations

from waspi.model.limits import Limits
from waspi.model.release import Release
from waspi.model.result import JobError
from waspi.sandbox.task import Done, Task
from waspi.updates.lifecycle import golden_failure

PREFIX = "golden:"
"""Begins the id of every task here; no job's id has a colon."""


class GoldenTest:
    """The pairs of one release: :meth:`task` gives the next to run, :meth:`take` its end."""

    def __init__(self, release: Release, device: Limits) -> None:
        self.release = release
        self._limits = release.limits.capped_by(device)
        self._passed = 0
        self.error: JobError | None = None
        """Why it failed."""

    @property
    def over(self) -> bool:
        """Whether there is nothing left to run."""
        return self.error is not None or self._passed == len(self.release.golden)

    def task(self) -> Task:
        """The next pair's run, with an instance, fuel and time of its own."""
        release = self.release
        pair = release.golden[self._passed]
        return Task(f"{PREFIX}{release.label}", release.sha256, release.abi, self._limits, (pair.input,))

    def take(self, done: Done) -> None:
        """What became of the pair that ran."""
        expected = self.release.golden[self._passed].output
        number, of = self._passed + 1, len(self.release.golden)
        if done.error is not None:
            told = f"golden pair {number} of {of} failed with {done.error.kind}: {done.error.message}"
            self.error = JobError(done.error.fault, done.error.kind, told)
        elif done.outputs != (expected,):
            self.error = golden_failure(number, of, done.outputs[0] if done.outputs else b"", expected)
        else:
            self._passed += 1
