"""What a rollout does next: a pure function of its record, the fleet and the time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from waspi.fleet.rollout.census import Census, Outcome
from waspi.fleet.rollout.plan import select
from waspi.fleet.rollout.record import TRANSITIONS, Phase, RolloutRecord

if TYPE_CHECKING:
    from collections.abc import Collection


def decide(record: RolloutRecord, census: Census, now: float) -> RolloutRecord:
    """The record in its next phase, or the same one when there is nothing to do but wait.

    PLANNING is left by :func:`planned`. In DEPLOYING and ABORTING something has to be published first; they are left by
    :func:`deployed`.
    """
    if record.phase in {Phase.WATCHING, Phase.SOAKING, Phase.PAUSED}:
        return _on_the_way(record, census, now)
    if record.phase is Phase.RETURNING and (not census.serving or now - record.since >= record.plan.patience_s):
        return record.become(Phase.ABORTED, now, reason=record.reason)
    return record


def planned(record: RolloutRecord, online: Collection[str], now: float) -> RolloutRecord:
    """The record with the devices of its stage chosen, out of those that are ``online``.

    A stage that adds none is passed over. The phase stays while there is nobody to choose, or one that is named is not
    there.
    """
    before, ahead = record.selection, record
    chosen = select(ahead.present, before, ahead.plan.label, online)
    while (chosen.percent, chosen.names) == (before.percent, before.names) and online and not ahead.last_stage:
        ahead = replace(ahead, stage=ahead.stage + 1)
        chosen = select(ahead.present, before, ahead.plan.label, online)
    missing = sorted({*ahead.present.devices} - {*online})
    if online and not missing:
        return ahead.become(Phase.DEPLOYING, now, selection=chosen)
    reason = f"waits until {', '.join(missing) or f'a device of {ahead.plan.group}'} is online"
    return ahead if ahead.reason == reason else replace(ahead, reason=reason)


def deployed(record: RolloutRecord, now: float, *, serial: int, cohort: frozenset[str]) -> RolloutRecord:
    """The record after its act: the deployment of its phase is published, with ``serial``."""
    if record.phase is Phase.ABORTING:
        return record.become(Phase.RETURNING, now, reason=record.reason)
    return record.become(Phase.WATCHING, now, stage_since=now, cohort=record.cohort | cohort, serial=serial)


def abort(record: RolloutRecord, now: float, reason: str) -> RolloutRecord:
    """The record after somebody called it off; the same one when it is over, or on its way back."""
    if Phase.ABORTING in TRANSITIONS[record.phase]:
        return record.become(Phase.ABORTING, now, reason=reason)
    return record


def too_many(count: int, of: int, percent: float) -> bool:
    """Whether ``count`` is more than ``percent`` of ``of``, without rounding errors."""
    return count > 0 and count * 100 > percent * of


def _on_the_way(record: RolloutRecord, census: Census, now: float) -> RolloutRecord:
    plan = record.plan
    failed, lost, members = census.count(Outcome.FAILED), census.count(Outcome.LOST), census.in_stage
    late = census.pending if now - record.stage_since >= plan.patience_s else 0
    if too_many(failed, members, plan.max_failed):
        return record.become(Phase.ABORTING, now, reason=_failures(census, failed, members))
    if too_many(failed + lost + late, members, plan.max_failed):
        reason = f"{lost} of {members} devices went offline, {late} are late"
        return record if record.phase is Phase.PAUSED else record.become(Phase.PAUSED, now, reason=reason)
    # Late ones that are within the allowance do not keep the others waiting.
    return _onward(record, now, settled=census.pending == late, anybody=members > 0 and bool(record.selection.added))


def _onward(record: RolloutRecord, now: float, *, settled: bool, anybody: bool) -> RolloutRecord:
    if record.phase is not Phase.SOAKING:
        if record.phase is Phase.PAUSED:
            return record.become(Phase.WATCHING, now)
        return record.become(Phase.SOAKING, now) if settled else record
    if not settled:
        return record.become(Phase.WATCHING, now)
    if anybody and now - record.since < record.plan.soak_s:  # a stage that adds no device teaches nothing
        return record
    if record.last_stage:
        return record.become(Phase.DONE, now)
    return record.become(Phase.PLANNING, now, stage=record.stage + 1)


def _failures(census: Census, failed: int, members: int) -> str:
    reasons = sorted(set(census.reasons.values()) - {""})
    others = f" (and {len(reasons) - 1} other reasons)" if reasons[1:] else ""
    return f"failed on {failed} of {members} devices" + (f": {reasons[0]}{others}" if reasons else "")
