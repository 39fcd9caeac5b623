"""What a rollout remembers, so that it goes on where it was killed; its phases and the table of their transitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from waspi.errors import IllegalTransitionError, RepositoryError
from waspi.fleet.repository.settings import PUBLIC_MODE
from waspi.fleet.rollout.plan import ALL, NOBODY, RolloutPlan, Selection, Stage
from waspi.journal.durable import write_durably
from waspi.model.deployment import DeploymentEntry

FOLDER: Final = "rollouts"


class Phase(StrEnum):
    """Where a rollout is. A phase is on disk before the act that it stands for."""

    PLANNING = "PLANNING"
    """The devices of the present stage are to be chosen, once one is online."""
    DEPLOYING = "DEPLOYING"
    """They are chosen; the deployment of the stage is to be published."""
    WATCHING = "WATCHING"
    """The stage's devices take the release."""
    SOAKING = "SOAKING"
    """All of them have; it must stay so for the soak time."""
    PAUSED = "PAUSED"
    """Too many devices are lost: it goes on by itself when they are back."""
    ABORTING = "ABORTING"
    """It failed on too many devices, or somebody said so: the deployment that takes it back is to be published."""
    RETURNING = "RETURNING"
    """The devices go back to what they ran before."""
    ABORTED = "ABORTED"
    """They have, as far as they can be reached."""
    DONE = "DONE"
    """The last stage has soaked."""

    @property
    def final(self) -> bool:
        """Whether no transition leaves this phase (``bool``)."""
        return not TRANSITIONS[self]

    @property
    def goes_back(self) -> bool:
        """Whether the release is being taken back, or was (``bool``)."""
        return self in {Phase.ABORTING, Phase.RETURNING, Phase.ABORTED}

    @property
    def acts(self) -> bool:
        """Whether something has to be published in this phase (``bool``)."""
        return self in {Phase.DEPLOYING, Phase.ABORTING}


TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.PLANNING: frozenset({Phase.DEPLOYING, Phase.ABORTING}),
    Phase.DEPLOYING: frozenset({Phase.WATCHING, Phase.ABORTING}),
    Phase.WATCHING: frozenset({Phase.SOAKING, Phase.PAUSED, Phase.ABORTING}),
    # Back to WATCHING: devices came into the group, or one that was through began again.
    Phase.SOAKING: frozenset({Phase.PLANNING, Phase.DONE, Phase.WATCHING, Phase.PAUSED, Phase.ABORTING}),
    Phase.PAUSED: frozenset({Phase.WATCHING, Phase.ABORTING}),
    Phase.ABORTING: frozenset({Phase.RETURNING}),
    Phase.RETURNING: frozenset({Phase.ABORTED}),
    Phase.ABORTED: frozenset(),
    Phase.DONE: frozenset(),
}


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """The state of a rollout."""

    plan: RolloutPlan
    phase: Phase = Phase.PLANNING
    stage: int = 0
    """Index into the plan's stages."""
    selection: Selection = NOBODY
    """The devices of the present stage; in PLANNING still those of the stage before."""
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
    """Why it is paused or was aborted, or what it waits for."""

    @property
    def present(self) -> Stage:
        """The present stage."""
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
            return replace(before, stage=0.0, devices=()) if before.base is not None else None
        base = None
        if before is not None:
            base = before.version if before.version != plan.version and before.stage == ALL else before.base
        base = None if base == plan.version else base
        chosen = self.selection
        retry = self.tries.get(plan.version, 0)
        return DeploymentEntry(plan.name, plan.version, chosen.percent, base, retry, chosen.names)

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
        chosen = document["selection"]
        stages = tuple(Stage(**{**each, "devices": tuple(each["devices"])}) for each in plan["stages"])
        before = document["before"]
        return RolloutRecord(
            plan=RolloutPlan(**{**plan, "stages": stages}).check(),
            phase=Phase(document["phase"]),
            stage=range(len(stages))[document["stage"]],
            selection=Selection(**{**chosen, "names": tuple(chosen["names"]), "added": tuple(chosen["added"])}),
            since=float(document["since"]),
            stage_since=float(document["stage_since"]),
            cohort=frozenset(map(str, document["cohort"])),
            serial=int(document["serial"]),
            reason=str(document["reason"]),
            before=DeploymentEntry(**{**before, "devices": tuple(before["devices"])}) if before else None,
            tries={str(version): int(tries) for version, tries in document["tries"].items()},
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise RepositoryError(f"{path} is damaged: {error}; delete it to begin the rollout anew") from error
