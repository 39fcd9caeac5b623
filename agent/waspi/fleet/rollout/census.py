"""How the devices stand to the release of a rollout, from what they report: what a rollout decides by."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from waspi.model.module_state import ModuleState
from waspi.protocol.wanted import Share, wanted_modules

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.fleet.rollout.record import RolloutRecord
    from waspi.model.deployment import Deployment
    from waspi.protocol.reported import Reported, ReportedModule


class Outcome(StrEnum):
    """One word for one device."""

    OUTSIDE = "outside"
    """Not in the present stage; or, when the rollout was called off, without the release and none the worse."""
    WAITING = "waiting"
    """In the stage, and nothing of the release there so far."""
    WORKING = "working"
    """Fetched, verified, compiled or tested."""
    TRIAL = "trial"
    """Real jobs run on it."""
    ACTIVE = "active"
    """It has passed."""
    FAILED = "failed"
    """Given up, before or after it began to serve."""
    LOST = "lost"
    """Was there when the stage began, and is offline."""
    AWAY = "away"
    """In the stage, and offline since before it began: it does not count."""

    @property
    def taken(self) -> bool:
        """Whether the release serves there (``bool``)."""
        return self in {Outcome.TRIAL, Outcome.ACTIVE}


LEGEND: Final = {
    Outcome.OUTSIDE: "not in this stage",
    Outcome.WAITING: "nothing of the release there so far",
    Outcome.WORKING: "fetched, being compiled and tested",
    Outcome.TRIAL: "serves jobs on trial",
    Outcome.ACTIVE: "serves, trial passed",
    Outcome.FAILED: "given up there",
    Outcome.LOST: "went offline during the stage",
    Outcome.AWAY: "offline since before the stage, does not count",
}
"""Each outcome in a few words."""

_STATES = {
    ModuleState.TRIAL: Outcome.TRIAL,
    ModuleState.ACTIVE: Outcome.ACTIVE,
    # Gave way to another release on purpose: for this rollout it waits again.
    ModuleState.RETIRED: Outcome.WAITING,
    ModuleState.ROLLED_BACK: Outcome.FAILED,
    ModuleState.FAILED: Outcome.FAILED,
}


_LATE_S: Final = 30.0
"""After so long without its deployment a device is asked about."""
_NEXT: Final[dict[str, str]] = {
    ModuleState.FETCHED: "the check of its hash",
    ModuleState.VERIFIED: "the compiler",
    ModuleState.COMPILED: "its golden pairs",
    ModuleState.TESTED: "its trial",
}


def share_of(view: DeviceView, group: str, name: str, deployments: Mapping[str, Deployment]) -> Share | None:
    """By which part of ``group``'s deployment the device runs ``name``; ``None`` when another group decides on it."""
    wanted = wanted_modules(deployments, device=view.id, groups=view.groups, current={}).get(name)
    return wanted.share if wanted is not None and wanted.group == group else None


def module_of(reported: Reported | None, name: str, version: str) -> ReportedModule | None:
    """What the device says of one release: the furthest, when it speaks of it more than once."""
    if reported is None:
        return None
    found = [each for each in reported.modules if each.name == name and each.version == version]
    return next((each for each in found if each.state in {"ACTIVE", "TRIAL"}), found[-1] if found else None)


def outcome_of(
    view: DeviceView, *, group: str, name: str, version: str, in_stage: bool, cohort: bool, serial: int
) -> Outcome:
    """How the device stands to the release.

    ``cohort``: it was online when the stage began. ``serial``: a failure counts only once the device has read the
    stage's deployment, since it may be of an earlier rollout of the same release.
    """
    if not in_stage:
        return Outcome.OUTSIDE
    module = module_of(view.reported, name, version)
    outcome = Outcome.WAITING if module is None else _outcome(module.state)
    if outcome is Outcome.FAILED:
        read = view.reported.deployments.get(group) if view.reported is not None else None
        return Outcome.FAILED if read is None or read >= serial else Outcome.WAITING
    if not view.online:
        return Outcome.LOST if cohort else Outcome.AWAY
    return outcome


def _outcome(state: str) -> Outcome:
    try:
        return _STATES.get(ModuleState(state), Outcome.WORKING)
    except ValueError:
        return Outcome.WORKING


@dataclass(frozen=True, slots=True)
class Census:
    """One look at the fleet."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """Device id to outcome, of the devices on whose module the group decides."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Device id to why the release failed there."""
    serving: frozenset[str] = frozenset()
    """Devices on which the release serves, in the stage or not, that are online."""
    waits: Mapping[str, str] = field(default_factory=dict)
    """Device id to what it waits for or does, of those of the stage that are not through."""

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


def take_census(
    views: Iterable[DeviceView], record: RolloutRecord, deployments: Mapping[str, Deployment], now: float
) -> Census:
    """Count the devices at the Unix time ``now``; ``deployments`` is what is published, or about to be."""
    plan = record.plan
    outcomes: dict[str, Outcome] = {}
    reasons: dict[str, str] = {}
    waits: dict[str, str] = {}
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
        if outcome in {Outcome.WAITING, Outcome.WORKING, Outcome.LOST}:
            waits[view.id] = _wait_of(view, module, outcome, record, late=now - record.stage_since >= _LATE_S)
        if module is not None and module.state in {"ACTIVE", "TRIAL"} and view.online:
            serving.add(view.id)
    return Census(outcomes, reasons, frozenset(serving), waits)


def _wait_of(
    view: DeviceView, module: ReportedModule | None, outcome: Outcome, record: RolloutRecord, *, late: bool
) -> str:
    """What a device of the stage that is not through waits for."""
    if outcome is Outcome.LOST:
        since = f" since {time.strftime('%H:%M:%S', time.localtime(view.presence.since))}" if view.presence else ""
        return f"is offline{since}"
    if outcome is Outcome.WORKING and module is not None:
        return f"waits for {_NEXT.get(module.state, 'its next step')} ({module.state})"
    reported = view.reported
    read = reported.deployments.get(record.plan.group, 0) if reported is not None else 0
    if read >= record.serial:
        return f"fetches it, by deployment {record.serial}"
    trouble = f": {reported.updates}" if reported is not None and reported.updates else ""
    depot = "; is a depot running on this broker (waspi depot)?" if late and not trouble else ""
    known = f"has read {read}" if read else "has read none"
    return f"waits for deployment {record.serial}, {known}{trouble}{depot}"
