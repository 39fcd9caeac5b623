"""What a rollout is to do."""

from __future__ import annotations

from dataclasses import dataclass

from waspi.errors import EnvelopeError, UsageError
from waspi.protocol.ids import is_id, is_version
from waspi.protocol.rollout import hundredths

MOST_STAGES = 32


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """A release, a group, and how carefully."""

    group: str
    name: str
    version: str
    stages: tuple[float, ...] = (1.0, 10.0, 50.0, 100.0)
    """Per cent of the group's devices, rising."""
    max_failed: float = 2.0
    """Per cent of a stage's devices on which it may fail; one more, and the rollout is aborted."""
    soak_s: float = 600.0
    """Seconds for which a stage must stay well before the next begins."""
    patience_s: float = 1800.0
    """Seconds after which a device that has not come through counts as lost."""

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def check(self) -> RolloutPlan:
        """Return the plan; raises :class:`UsageError` when it makes no sense."""
        if not is_id(self.group) or not is_id(self.name) or not is_version(self.version):
            raise UsageError(f"{self.label} to {self.group}: an id, a version and a group are expected")
        if not 0 < len(self.stages) <= MOST_STAGES or list(self.stages) != sorted(set(self.stages)):
            raise UsageError("stages must rise, for example 1%,10%,50%,100%")
        try:
            least = min(hundredths(stage) for stage in self.stages)
        except EnvelopeError as error:
            raise UsageError(error.message) from error
        if least == 0:
            raise UsageError("the first stage must be more than 0%")
        if not 0 <= self.max_failed <= 100 or self.soak_s < 0 or self.patience_s <= 0:  # noqa: PLR2004 - per cent
            raise UsageError("--max-failed goes from 0% to 100%; --soak and --patience are no negative times")
        return self
