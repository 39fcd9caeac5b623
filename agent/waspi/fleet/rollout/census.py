"""How many devices stand how: what a rollout decides by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from waspi.fleet.rollout.outcome import Outcome, module_of, outcome_of, share_of
from waspi.protocol.wanted import Share

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.fleet.rollout.record import RolloutRecord
    from waspi.model.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Census:
    """One look at the fleet."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """Device id to outcome, of the devices on whose module the group decides."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Device id to why the release failed there."""
    serving: frozenset[str] = frozenset()
    """Devices on which the release serves, in the stage or not, that are online."""

    def count(self, *outcomes: Outcome) -> int:
        """Devices with one of these outcomes."""
        return sum(outcome in outcomes for outcome in self.outcomes.values())

    @property
    def in_stage(self) -> int:
        """Devices of the stage that count."""
        return len(self.outcomes) - self.count(Outcome.OUTSIDE, Outcome.AWAY)

    @property
    def pending(self) -> int:
        """Devices of the stage that are on their way."""
        return self.count(Outcome.WAITING, Outcome.WORKING)

    @property
    def counts(self) -> dict[str, int]:
        """Outcome to number of devices, in the order of :class:`Outcome`."""
        counted = Counter(self.outcomes.values())
        return {str(outcome): counted[outcome] for outcome in Outcome}


def take_census(views: Iterable[DeviceView], record: RolloutRecord, deployments: Mapping[str, Deployment]) -> Census:
    """Count the devices; ``deployments`` is what is published, or about to be."""
    plan = record.plan
    outcomes: dict[str, Outcome] = {}
    reasons: dict[str, str] = {}
    serving = set()
    for view in views:
        share = share_of(view, plan.group, plan.name, deployments)
        if share is None:
            continue
        outcome = outcome_of(
            view,
            group=plan.group,
            name=plan.name,
            version=plan.version,
            in_stage=share is Share.STAGE,
            cohort=view.id in record.cohort,
            serial=record.serial,
        )
        if record.phase.goes_back and outcome not in {Outcome.TRIAL, Outcome.ACTIVE, Outcome.FAILED}:
            outcome = Outcome.OUTSIDE  # it waits for nothing any more
        outcomes[view.id] = outcome
        module = module_of(view.reported, plan.name, plan.version)
        if outcome is Outcome.FAILED and module is not None:
            reasons[view.id] = module.reason
        if module is not None and module.state in {"ACTIVE", "TRIAL"} and view.online:
            serving.add(view.id)
    return Census(outcomes, reasons, frozenset(serving))
