"""Rollouts over simulated fleets: real repository, real protocol code, simulated boards and time."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulators.fleet_member import FleetMember
from tests.simulators.repository_site import Site
from waspi.errors import RepositoryError, UsageError
from waspi.fleet.registry import DeviceView, Registry
from waspi.fleet.rollout.census import Census, Outcome
from waspi.fleet.rollout.plan import RolloutPlan, Stage
from waspi.fleet.rollout.record import TRANSITIONS, Phase
from waspi.fleet.rollout.runner import Rollout
from waspi.journal.durable import write_durably
from waspi.model.deployment import DeploymentEntry
from waspi.model.module_state import ModuleState

FLEET = 200
LOOK_S = 10.0
PLAN = RolloutPlan("kitchen", "append", "2.0.0", soak_s=120, patience_s=1800)


class World:
    """A fleet, an operator's desk and a clock."""

    def __init__(self, base: Path, members: list[FleetMember]) -> None:
        self.site = Site(base)
        self.members = members
        self.registry = Registry()
        self.now = 1_900_000_000.0
        self.phases: list[tuple[Phase, str]] = []
        self.census = Census()
        self.site.ship("1.0.0")
        self.run(16)
        assert {member.serving("append") for member in members} == {"1.0.0"}
        self.site.add(version="2.0.0")

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.now += LOOK_S
            deployments = self.site.repository.published().deployments
            for member in self.members:
                member.tick(deployments)

    def views(self) -> list[DeviceView]:
        for member in self.members:
            member.view(self.registry)
        return list(self.registry.all().values())

    def remove(self, member: FleetMember) -> None:
        """As ``waspi device remove``: nothing retained of it stays."""
        self.members.remove(member)
        assert self.registry.presence(member.id, b"")
        assert self.registry.reported(member.id, b"")

    def begin(self, plan: RolloutPlan = PLAN) -> Rollout:
        return Rollout.begin(self.site.repository, plan, self.now)

    def step(self, rollout: Rollout) -> Phase:
        self.census = rollout.step(self.views(), self.now)
        seen = (rollout.record.phase, str(rollout.record.present))
        if not self.phases or self.phases[-1] != seen:
            self.phases.append(seen)
        self.run(1)
        return rollout.record.phase

    def finish(self, rollout: Rollout, *, within: int = 1000, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(within):
            if self.step(rollout).final or until():
                return
        raise AssertionError(f"not finished: {rollout.record}, {self.census.counts}")

    def running(self) -> dict[str | None, int]:
        versions = [member.serving("append") for member in self.members]
        return {version: versions.count(version) for version in sorted(set(versions), key=str)}


def fleet(count: int = FLEET, bad_share: float = 0.0, *, at: ModuleState = ModuleState.COMPILED) -> list[FleetMember]:
    seed = 20_300_101
    rng = random.Random(seed)  # noqa: S311 - a simulation, with this seed
    bad = set(rng.sample(range(count), round(count * bad_share)))
    return [
        FleetMember(f"pi-{number}", bad={"2.0.0": at} if number in bad else {}, slow=rng.choice((1, 1, 2)))
        for number in range(count)
    ]


def test_a_good_release_reaches_everybody_stage_by_stage(tmp_path: Path) -> None:
    world = World(tmp_path, fleet())
    rollout = world.begin()
    reach: dict[int, set[int]] = {}

    def note() -> bool:
        reach.setdefault(rollout.record.selection.chosen, set()).add(world.running().get("2.0.0", 0))
        return False

    world.finish(rollout, until=note)
    assert rollout.record.phase is Phase.DONE
    assert world.running() == {"2.0.0": FLEET}
    stages = [stage for phase, stage in world.phases if phase is Phase.SOAKING]
    assert stages == ["1%", "10%", "50%", "100%"]
    assert sorted(reach) == [2, 20, 100, 200]
    for chosen, numbers in reach.items():
        assert max(numbers) <= chosen, f"more than the {chosen} of the stage have it"
    assert world.census.counts["active"] == FLEET


def test_five_per_cent_of_bad_boards_abort_it_and_everybody_goes_back(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(bad_share=0.05))
    rollout = world.begin()
    most = 0

    def note() -> bool:
        nonlocal most
        most = max(most, world.running().get("2.0.0", 0))
        return False

    world.finish(rollout, until=note)
    record = rollout.record
    assert record.phase is Phase.ABORTED
    assert "cannot leave COMPILED" in record.reason
    assert world.running() == {"1.0.0": FLEET}
    assert most < FLEET * 0.5, "it was seen before half of the fleet had it"
    assert not record.present.whole
    assert world.site.repository.published().deployments["kitchen"].entries == (DeploymentEntry("append", "1.0.0"),)
    failed = [member for member in world.members if ("append", "2.0.0", "FAILED") in member.history]
    assert failed
    assert world.census.counts["failed"] == len(failed)
    assert world.census.counts["outside"] == FLEET - len(failed), "nobody waits for what was taken back"
    assert all(("append", "2.0.0", "TRIAL") not in member.history for member in failed)


def test_boards_on_which_it_fails_in_its_trial_abort_it_too(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(bad_share=0.05, at=ModuleState.TRIAL))
    rollout = world.begin()
    world.finish(rollout)
    assert rollout.record.phase is Phase.ABORTED
    assert world.running() == {"1.0.0": FLEET}


def test_failures_within_the_allowance_do_not_stop_it(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(bad_share=0.05))
    rollout = world.begin(RolloutPlan("kitchen", "append", "2.0.0", max_failed=40, soak_s=60))
    world.finish(rollout)
    assert rollout.record.phase is Phase.DONE
    assert world.running() == {"1.0.0": 10, "2.0.0": 190}  # bad boards stay on the last good one
    assert world.census.counts["failed"] == 10


def test_it_pauses_while_devices_are_lost_and_goes_on_when_they_are_back(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(60))
    rollout = world.begin()
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.SOAKING and str(rollout.record.present) == "50%")
    lost = [each for each in world.members if rollout.record.selection.holds(each.id, "append@2.0.0")][:5]
    for member in lost:
        member.online = False
    assert world.step(rollout) is Phase.PAUSED
    assert "5 of" in rollout.record.reason
    for _ in range(50):
        assert world.step(rollout) is Phase.PAUSED
    assert str(rollout.record.present) == "50%"
    for member in lost:
        member.online = True
    world.finish(rollout)
    assert rollout.record.phase is Phase.DONE


def test_devices_that_are_removed_are_waited_for_no_longer(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(60))
    rollout = world.begin()
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.SOAKING and str(rollout.record.present) == "50%")
    lost = [each for each in world.members if rollout.record.selection.holds(each.id, "append@2.0.0")][:5]
    for member in lost:
        member.online = False
    assert world.step(rollout) is Phase.PAUSED
    for member in lost:
        world.remove(member)
    world.finish(rollout)
    assert rollout.record.phase is Phase.DONE
    assert world.running() == {"2.0.0": 55}
    assert world.census.counts["lost"] == 0


def test_devices_that_were_away_all_the_time_do_not_count(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(60))
    away = world.members[:20]
    for member in away:
        member.online = False
    rollout = world.begin()
    world.finish(rollout)
    assert rollout.record.phase is Phase.DONE
    assert world.census.counts["away"] == 20
    for member in away:
        member.online = True
    world.run(20)
    assert world.running() == {"2.0.0": 60}  # the deployment waited for them


def test_devices_that_never_come_through_pause_it(tmp_path: Path) -> None:
    members = fleet(60)
    world = World(tmp_path, members)
    for member in members[::3]:
        member.slow = 10_000
    rollout = world.begin()
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.PAUSED)
    assert "are late" in rollout.record.reason
    rollout.abort(world.now)
    world.finish(rollout)
    assert rollout.record.phase is Phase.ABORTED


def test_killed_after_every_write_it_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    """A new process at every step, and one that dies within the step, between any two files."""

    class Killed(BaseException):
        pass

    world = World(tmp_path, fleet(40))
    rollout = world.begin()
    rng = random.Random(7)  # noqa: S311 - a simulation, with this seed
    deaths = 0
    for _ in range(2000):
        monkey = pytest.MonkeyPatch()
        left = rng.randrange(0, 8)

        def dying(path: Path, data: bytes, *, mode: int = 0o600) -> None:
            nonlocal left, deaths
            left -= 1
            if left < 0:
                deaths += 1
                raise Killed
            write_durably(path, data, mode=mode)

        for module in _writers():
            monkey.setattr(module, "write_durably", dying)
        try:
            world.step(rollout)
        except Killed:
            world.run(1)
        finally:
            monkey.undo()
        rollout = Rollout.resume(world.site.reopened(), "kitchen", "append") if not _over(world) else rollout
        if _over(world):
            break
    assert deaths > 3
    assert world.running() == {"2.0.0": 40}
    serials = {member.serials["kitchen"] for member in world.members}
    assert serials == {5}  # the first deployment and four stages, none of them twice


def _writers() -> list[object]:
    from waspi.fleet.repository import contents, draft, metadata_store  # noqa: PLC0415 - patched
    from waspi.fleet.rollout import record  # noqa: PLC0415 - patched

    return [contents, draft, metadata_store, record]


def _over(world: World) -> bool:
    from waspi.fleet.rollout.record import load_record  # noqa: PLC0415

    known = load_record(world.site.folder, "kitchen", "append")
    return known is not None and known.phase.final


def test_called_off_by_hand(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(60))
    rollout = world.begin()
    world.finish(rollout, until=lambda: str(rollout.record.present) == "50%" and rollout.record.phase is Phase.SOAKING)
    again = Rollout.resume(world.site.reopened(), "kitchen", "append")
    again.abort(world.now)
    world.finish(again)
    assert again.record.phase is Phase.ABORTED
    assert world.running() == {"1.0.0": 60}
    with pytest.raises(UsageError, match="on its way"):
        Rollout.resume(world.site.repository, "kitchen", "append")


def test_what_was_called_off_gets_a_second_chance_on_boards_that_failed(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(60, bad_share=0.2))
    world.finish(world.begin())
    assert world.running() == {"1.0.0": 60}
    for member in world.members:
        member.bad = {}  # somebody mended the boards
    rollout = world.begin()
    world.finish(rollout)
    assert rollout.record.phase is Phase.DONE
    assert world.running() == {"2.0.0": 60}


def test_a_first_release_that_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(40))
    world.site.add("fresh", "1.0.0")
    rollout = world.begin(RolloutPlan("kitchen", "fresh", "1.0.0", stages=(Stage(50.0), Stage(100.0)), soak_s=10))
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.SOAKING)
    assert any(member.serving("fresh") for member in world.members)
    rollout.abort(world.now)
    world.finish(rollout)
    assert not any(member.serving("fresh") for member in world.members)
    assert world.running() == {"1.0.0": 40}


def test_what_a_stage_takes_in_is_known_before_it_begins(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(3))
    rollout = world.begin()
    assert world.step(rollout) is Phase.DEPLOYING
    chosen = rollout.record.selection
    assert (chosen.chosen, chosen.known, len(chosen.added)) == (1, 3, 1)
    assert world.running() == {"1.0.0": 3}
    world.finish(rollout)
    begun = [stage for phase, stage in world.phases if phase is Phase.DEPLOYING]
    assert begun == ["1%", "50%", "100%"], "a stage that adds nobody is passed over"


def test_canaries_first_and_a_board_that_joins_waits_for_its_stage(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(5))
    plan = RolloutPlan(
        "kitchen", "append", "2.0.0", (Stage(devices=("pi-3",)), Stage(count=2), Stage(100.0)), soak_s=60
    )
    rollout = world.begin(plan)
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.SOAKING)
    assert [each.id for each in world.members if each.serving("append") == "2.0.0"] == ["pi-3"]
    world.members += [FleetMember(f"new-{number}") for number in range(20)]
    world.finish(rollout, until=lambda: rollout.record.phase is Phase.SOAKING and rollout.record.stage == 1)
    assert world.running().get("2.0.0") == 2
    world.finish(rollout)
    assert world.running() == {"2.0.0": 25}


def test_nobody_online_is_waited_for(tmp_path: Path) -> None:
    """It would have been over in a moment, with a release that no board had tried."""
    world = World(tmp_path, fleet(5))
    for member in world.members:
        member.online = False
    rollout = world.begin()
    for _ in range(5):
        assert world.step(rollout) is Phase.PLANNING
    assert "is online" in rollout.record.reason
    world.members[2].online = True
    world.finish(rollout)
    assert world.running() == {"1.0.0": 4, "2.0.0": 1}


def test_each_device_says_what_it_waits_for(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(4))
    for member in world.members:
        member.slow = 10_000
    rollout = world.begin(RolloutPlan("kitchen", "append", "2.0.0", (Stage(100.0),)))
    for _ in range(3):
        world.step(rollout)
    assert set(world.census.waits) == {member.id for member in world.members}
    said = world.census.waits["pi-1"]
    assert said == "waits for deployment 2, has read 1"
    world.members[1].trouble = "no depot answers for metadata/2.root.json"
    world.members[2].slow = 1
    world.members[3].online = False
    for _ in range(2):
        world.step(rollout)
    assert world.census.waits["pi-1"] == "waits for deployment 2, has read 1: no depot answers for metadata/2.root.json"
    assert world.census.waits["pi-2"] == "waits for the check of its hash (FETCHED)"
    assert world.census.waits["pi-0"].endswith("is a depot running on this broker (waspi depot)?")
    assert world.census.waits["pi-3"].startswith("is offline since ")


def test_another_groups_devices_are_no_part_of_it(tmp_path: Path) -> None:
    members = [*fleet(30), *(FleetMember(f"attic-{number}", groups=("attic", "kitchen")) for number in range(10))]
    world = World(tmp_path, members)
    world.site.ship("1.5.0", group="attic")
    world.run(10)
    rollout = world.begin()
    world.finish(rollout)
    assert len(world.census.outcomes) == 30  # the attic's own deployment goes first for its devices
    assert world.running() == {"1.5.0": 10, "2.0.0": 30}


def test_a_deployment_by_another_hand_is_noticed(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(20))
    rollout = world.begin()
    world.step(rollout)
    world.step(rollout)
    world.site.repository.deploy("kitchen", "append", "1.0.0")
    world.site.repository.publish()
    with pytest.raises(RepositoryError, match="somebody else deployed append"):
        world.step(rollout)
    rollout.abort(world.now)
    world.finish(rollout)
    assert world.running() == {"1.0.0": 20}


def test_one_at_a_time(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(20))
    rollout = world.begin()
    world.step(rollout)
    with pytest.raises(UsageError, match="go on with its own options"):
        world.begin(RolloutPlan("kitchen", "append", "2.0.0", stages=(Stage(100.0),)))
    assert world.begin().record == rollout.record
    world.finish(rollout)
    with pytest.raises(UsageError, match="100% of kitchen already"):
        world.begin()
    with pytest.raises(RepositoryError, match="no release"):
        world.begin(RolloutPlan("kitchen", "append", "9"))


def test_two_processes_have_it_under_way_and_one_calls_it_off(tmp_path: Path) -> None:
    """The one that watches sees it from the record, and both end the same."""
    world = World(tmp_path, fleet(20))
    watching = world.begin()
    world.step(watching)
    other = Rollout.resume(world.site.reopened(), "kitchen", "append")
    world.step(other)
    other.abort(world.now, "enough")
    assert watching.record.phase is not Phase.ABORTING
    world.finish(watching)
    assert (watching.record.phase, watching.record.reason) == (Phase.ABORTED, "enough")
    serial = world.site.repository.published().deployments["kitchen"].serial
    world.step(other)
    assert other.record == watching.record
    assert world.site.repository.published().deployments["kitchen"].serial == serial
    other.abort(world.now, "twice")
    assert other.record.reason == "enough"


def test_one_whose_place_another_took_stops(tmp_path: Path) -> None:
    world = World(tmp_path, fleet(20))
    asleep = world.begin()
    world.step(asleep)
    other = Rollout.resume(world.site.reopened(), "kitchen", "append")
    other.abort(world.now)
    world.finish(other)
    world.site.add(version="3.0.0")
    world.begin(RolloutPlan("kitchen", "append", "3.0.0"))
    with pytest.raises(UsageError, match="another one has begun"):
        world.step(asleep)


def test_the_table_has_a_way_out_of_every_phase() -> None:
    ends = {phase for phase in Phase if phase.final}
    assert ends == {Phase.DONE, Phase.ABORTED}
    reached = {Phase.DEPLOYING}
    for _ in Phase:
        reached |= {after for phase in reached for after in TRANSITIONS[phase]}
    assert reached == set(Phase)
    assert {str(outcome) for outcome in Outcome} == set(Census().counts)
