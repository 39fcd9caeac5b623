"""A rollout at work: looks at the fleet, decides, writes down what comes next, and does it. Needs no server.

Killed anywhere, it goes on from its record: what is published twice is the same. Several processes may have the same
rollout under way, one that watches and one that calls it off: each takes up the record before it acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from waspi.errors import RepositoryError, UsageError
from waspi.fleet.repository.lock import locked
from waspi.fleet.rollout.census import Census, share_of, take_census
from waspi.fleet.rollout.decision import abort, decide, deployed, planned
from waspi.fleet.rollout.plan import ALL
from waspi.fleet.rollout.record import FOLDER, Phase, RolloutRecord, load_record
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.protocol.wanted import Share

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView
    from waspi.fleet.repository.repository import Repository
    from waspi.fleet.rollout.plan import RolloutPlan


class Rollout:
    """One rollout, and the repository that it publishes to."""

    def __init__(self, repository: Repository, record: RolloutRecord) -> None:
        self._repository = repository
        self.record = record

    @classmethod
    def begin(cls, repository: Repository, plan: RolloutPlan, now: float) -> Rollout:
        """Begin ``plan``, or go on with it when it is on its way.

        Raises :class:`UsageError` when another rollout of the module to the group is on its way, or there is nothing to
        roll out; :class:`RepositoryError` when the release is not in the repository.
        """
        plan.check()
        with _alone(repository):
            return cls._begin(repository, plan, now)

    @classmethod
    def _begin(cls, repository: Repository, plan: RolloutPlan, now: float) -> Rollout:
        known = load_record(repository.folder, plan.group, plan.name)
        if known is not None and not known.phase.final:
            if known.plan != plan:
                raise UsageError(
                    f"the rollout of {known.plan.label} to {plan.group} is {known.phase}; go on with its own options, "
                    "or call it off with --abort"
                )
            return cls(repository, known)
        contents = repository.contents()
        contents.release(plan.name, plan.version)
        held = _entry(repository.published().deployments, plan)
        if held is not None and held.version == plan.version and held.stage >= (plan.stages[-1].percent or ALL):
            raise UsageError(f"{plan.label} is deployed to {held.stage:g}% of {plan.group} already")
        # A number that no deployment has said of this version: devices on which it failed before try it again.
        tries = dict(known.tries) if known is not None else {}
        if known is not None and known.plan.version == plan.version:
            tries[plan.version] = tries.get(plan.version, 0) + 1
        if held is not None and held.version == plan.version:
            tries[plan.version] = max(tries.get(plan.version, 0), held.retry + 1)
        rollout = cls(repository, RolloutRecord(plan, since=now, before=held, tries=tries))
        rollout.record.save(repository.folder)
        return rollout

    @classmethod
    def resume(cls, repository: Repository, group: str, name: str) -> Rollout:
        """Go on with whatever is on its way; raises :class:`UsageError` when nothing is."""
        known = load_record(repository.folder, group, name)
        if known is None or known.phase.final:
            raise UsageError(f"no rollout of {name} to {group} is on its way")
        return cls(repository, known)

    def abort(self, now: float, reason: str = "called off by the operator") -> None:
        """Call it off: the next :meth:`step` takes it back."""
        with _alone(self._repository):
            self._take_up()
            self._become(abort(self.record, now, reason))

    def step(self, views: Iterable[DeviceView], now: float) -> Census:
        """Look once, and do whatever is to be done; gives what was seen.

        Which devices a stage takes in is chosen in one step and published in the next, so that it can be told before.

        Raises :class:`RepositoryError` when somebody else has deployed another version meanwhile, :class:`UsageError`
        when another rollout has taken this one's place.
        """
        with _alone(self._repository):
            self._take_up()
            return self._step(list(views), now)

    def _step(self, seen: list[DeviceView], now: float) -> Census:
        if self.record.phase is Phase.PLANNING:
            self._become(planned(self.record, self._online(seen), now))
            return self._look(seen, now)
        if self.record.phase.acts:
            self._act(seen, now)
        census = self._look(seen, now)
        while (after := decide(self.record, census, now)) is not self.record:
            self._become(after)
            if after.phase is Phase.PLANNING:
                self._become(planned(after, self._online(seen), now))
                break
            if after.phase.acts:
                self._act(seen, now)
                census = self._look(seen, now)
        return census

    def _online(self, views: list[DeviceView]) -> list[str]:
        """The devices that there are to choose from: online, and the group decides on this module of theirs."""
        plan, deployments = self.record.plan, dict(self._repository.published().deployments)
        group = deployments.get(plan.group) or Deployment(plan.group, 0)
        if group.entry(plan.name) is None:
            entries = (*group.entries, DeploymentEntry(plan.name, plan.version))
            deployments[plan.group] = replace(group, entries=entries)
        return [
            view.id for view in views if view.online and share_of(view, plan.group, plan.name, deployments) is not None
        ]

    def _take_up(self) -> None:
        """Another process may have done something."""
        plan = self.record.plan
        known = load_record(self._repository.folder, plan.group, plan.name)
        if known is None or known.plan != plan:
            raise UsageError(f"the rollout of {plan.label} to {plan.group} is over, and another one has begun")
        self.record = known

    def _look(self, views: list[DeviceView], now: float) -> Census:
        plan, deployments = self.record.plan, self._repository.published().deployments
        begun = self.record.serial and not (self.record.phase.final or self.record.phase.acts)
        if begun and _entry(deployments, plan) != self.record.entry():
            raise _another_hand(plan)
        return take_census(views, self.record, deployments, now)

    def _act(self, views: list[DeviceView], now: float) -> None:
        """Publish what the phase is for, unless that was done before this process was killed."""
        record, plan, entry = self.record, self.record.plan, self.record.entry()
        held = _entry(self._repository.published().deployments, plan)
        if held != entry:
            ours = held == record.before or (held is not None and held.version == plan.version)
            if record.phase is Phase.DEPLOYING and not ours:
                raise _another_hand(plan)
            if entry is None:
                self._repository.undeploy(plan.group, plan.name)
            else:
                self._repository.put(plan.group, entry)
            self._repository.publish()
        deployment = self._repository.published().deployments.get(plan.group) or Deployment(plan.group, 0)
        cohort = frozenset(
            view.id
            for view in views
            if view.online and share_of(view, plan.group, plan.name, {plan.group: deployment}) is Share.STAGE
        )
        self._become(deployed(self.record, now, serial=deployment.serial, cohort=cohort))

    def _become(self, record: RolloutRecord) -> None:
        if record is not self.record:
            record.save(self._repository.folder)
            self.record = record


@contextmanager
def _alone(repository: Repository) -> Iterator[None]:
    """Nobody else changes a rollout's record meanwhile."""
    folder = repository.folder / FOLDER
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise RepositoryError(f"cannot write to {repository.folder}: {error.strerror}") from error
    with locked(folder):
        yield


def _another_hand(plan: RolloutPlan) -> RepositoryError:
    return RepositoryError(
        f"somebody else deployed {plan.name} to {plan.group} during the rollout; call it off with --abort, or let the "
        "deployment say again what the rollout's last stage was"
    )


def _entry(deployments: Mapping[str, Deployment], plan: RolloutPlan) -> DeploymentEntry | None:
    deployment = deployments.get(plan.group)
    return None if deployment is None else deployment.entry(plan.name)
