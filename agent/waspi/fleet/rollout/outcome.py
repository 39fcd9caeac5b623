"""How a device stands to the release of a rollout, from what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from waspi.model.module_state import ModuleState
from waspi.protocol.wanted import Share, wanted_modules

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
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


_STATES = {
    ModuleState.TRIAL: Outcome.TRIAL,
    ModuleState.ACTIVE: Outcome.ACTIVE,
    # Gave way to another release on purpose: for this rollout it waits again.
    ModuleState.RETIRED: Outcome.WAITING,
    ModuleState.ROLLED_BACK: Outcome.FAILED,
    ModuleState.FAILED: Outcome.FAILED,
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
