"""What a rollout remembers: enough to go on where it was, wherever it was killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from waspi.errors import IllegalTransitionError, RepositoryError
from waspi.fleet.repository.settings import PUBLIC_MODE
from waspi.fleet.rollout.phase import TRANSITIONS, Phase
from waspi.fleet.rollout.plan import RolloutPlan
from waspi.journal.durable import write_durably
from waspi.model.deployment import DeploymentEntry

FOLDER = "rollouts"
_ALL = 100


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """The state of a rollout."""

    plan: RolloutPlan
    phase: Phase = Phase.DEPLOYING
    stage: int = 0
    """Index into the plan's stages."""
    since: float = 0.0
    """Unix time at which the phase began."""
    stage_since: float = 0.0
    """Unix time at which the stage's deployment was published."""
    cohort: frozenset[str] = frozenset()
    """Devices of the stage that were online when it began: those whose silence says something."""
    serial: int = 0
    """Of the stage's deployment."""
    before: DeploymentEntry | None = None
    """What the group's deployment said of the module before: an abort puts it back."""
    tries: Mapping[str, int] = field(default_factory=dict)
    """Version to how often it was rolled out before: a device that gave it up tries it again in a new rollout."""
    reason: str = ""
    """Why it is paused or was aborted."""

    @property
    def percent(self) -> float:
        """Per cent of the present stage."""
        return self.plan.stages[self.stage]

    @property
    def last_stage(self) -> bool:
        """Whether no other stage follows."""
        return self.stage + 1 == len(self.plan.stages)

    def entry(self) -> DeploymentEntry | None:
        """What the group's deployment has to say of the module now; ``None``: nothing."""
        plan, before = self.plan, self.before
        if self.phase.goes_back:
            if before is None or before.version != plan.version:
                return before
            # It was on some devices before, by hand: they go back too, if there is something to go back to.
            return replace(before, stage=0.0) if before.base is not None else None
        base = None
        if before is not None:
            base = before.version if before.version != plan.version and before.stage == _ALL else before.base
        base = None if base == plan.version else base
        return DeploymentEntry(plan.name, plan.version, self.percent, base, self.tries.get(plan.version, 0))

    def become(self, phase: Phase, now: float, *, reason: str = "", **changes: object) -> RolloutRecord:
        """The record in its next phase; raises :class:`IllegalTransitionError` when the table does not have it."""
        if phase not in TRANSITIONS[self.phase]:
            raise IllegalTransitionError(f"a rollout does not go from {self.phase} to {phase}")
        return replace(self, phase=phase, since=now, reason=reason, **changes)  # type: ignore[arg-type] # own fields

    def save(self, repository: Path) -> None:
        """Write durably; raises :class:`StorageError`."""
        path = record_path(repository, self.plan.group, self.plan.name)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        document = {**asdict(self), "cohort": sorted(self.cohort), "v": 1}
        write_durably(path, json.dumps(document, indent=1).encode() + b"\n", mode=PUBLIC_MODE)


def record_path(repository: Path, group: str, name: str) -> Path:
    """Where the state of the rollout of module ``name`` to ``group`` is kept."""
    return repository / FOLDER / f"{group}.{name}.json"


def load_record(repository: Path, group: str, name: str) -> RolloutRecord | None:
    """The last rollout of this module to this group; raises :class:`RepositoryError` when its file is damaged."""
    path = record_path(repository, group, name)
    try:
        document = json.loads(path.read_bytes())
        plan = document["plan"]
        return RolloutRecord(
            plan=RolloutPlan(**{**plan, "stages": tuple(map(float, plan["stages"]))}).check(),
            phase=Phase(document["phase"]),
            stage=range(len(plan["stages"]))[document["stage"]],
            since=float(document["since"]),
            stage_since=float(document["stage_since"]),
            cohort=frozenset(map(str, document["cohort"])),
            serial=int(document["serial"]),
            reason=str(document["reason"]),
            before=DeploymentEntry(**document["before"]) if document["before"] else None,
            tries={str(version): int(tries) for version, tries in document["tries"].items()},
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise RepositoryError(f"{path} is damaged: {error}; delete it to begin the rollout anew") from error
