"""The decisions of a rollout, one look at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waspi.errors import IllegalTransitionError, RepositoryError, UsageError
from waspi.fleet.rollout.census import Census, Outcome
from waspi.fleet.rollout.decision import abort, decide, deployed, planned, too_many
from waspi.fleet.rollout.plan import NOBODY, RolloutPlan, Selection, Stage, select, stage_named
from waspi.fleet.rollout.record import TRANSITIONS, Phase, RolloutRecord, load_record, record_path
from waspi.model.deployment import DeploymentEntry

PLAN = RolloutPlan(
    "kitchen", "append", "2.0.0", stages=(Stage(10.0), Stage(100.0)), max_failed=2, soak_s=600, patience_s=1800
)
TENTH = Selection(10.0, known=10, chosen=1, added=("pi-1",))
WATCHING = RolloutRecord(PLAN, Phase.WATCHING, selection=TENTH, since=1000, stage_since=1000, serial=3)


def census(**counts: int) -> Census:
    outcomes = {f"{outcome}-{number}": Outcome(outcome) for outcome, count in counts.items() for number in range(count)}
    reasons = {device: "trap" for device, outcome in outcomes.items() if outcome is Outcome.FAILED}
    return Census(outcomes, reasons, frozenset(device for device, outcome in outcomes.items() if outcome.taken))


def phases(record: RolloutRecord, *looks: tuple[float, Census]) -> list[Phase]:
    found = []
    for now, seen in looks:
        record = decide(record, seen, now)
        found.append(record.phase)
    return found


def test_a_stage_soaks_from_when_all_have_it() -> None:
    some, everybody = census(active=9, working=1), census(active=9, trial=1)
    assert phases(
        WATCHING, (1100, some), (1200, everybody), (1799, everybody), (1800, everybody)
    ) == [Phase.WATCHING, Phase.SOAKING, Phase.SOAKING, Phase.PLANNING]  # fmt: skip


def test_who_begins_again_begins_the_soak_again() -> None:
    everybody, one_less = census(active=10), census(active=9, waiting=1)
    assert phases(
        WATCHING, (1000, everybody), (1599, one_less), (1600, everybody), (2100, everybody), (2200, everybody)
    ) == [Phase.SOAKING, Phase.WATCHING, Phase.SOAKING, Phase.SOAKING, Phase.PLANNING]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "after"),
    [
        (census(active=49, failed=1), Phase.SOAKING),
        (census(active=48, failed=1), Phase.ABORTING),
        (census(active=49, lost=1), Phase.SOAKING),
        (census(active=48, lost=1), Phase.PAUSED),
        (census(active=97, lost=1, failed=1, waiting=1), Phase.WATCHING),
        (census(active=96, lost=1, failed=2, waiting=1), Phase.PAUSED),
        (census(active=2, away=50, outside=50, failed=1), Phase.ABORTING),
        (census(failed=1), Phase.ABORTING),
        (census(), Phase.SOAKING),
    ],
)
def test_the_allowance_is_of_the_stages_devices(seen: Census, after: Phase) -> None:
    assert decide(WATCHING, seen, 1001).phase is after


def test_patience_ends() -> None:
    late = census(active=10, working=1)
    assert decide(WATCHING, late, 2799).phase is Phase.WATCHING
    paused = decide(WATCHING, late, 2800)
    assert paused.phase is Phase.PAUSED
    assert "1 are late" in paused.reason
    assert decide(paused, census(active=11), 2801).phase is Phase.WATCHING
    assert decide(WATCHING, census(active=99, working=1), 2800).phase is Phase.SOAKING  # within the allowance


def test_an_empty_stage_does_not_soak() -> None:
    soaking = WATCHING.become(Phase.SOAKING, 1000)
    assert decide(soaking, census(outside=5), 1001).phase is Phase.PLANNING
    last = dataclasses.replace(soaking, stage=1)
    assert decide(last, census(active=1), 1599).phase is Phase.SOAKING
    assert decide(last, census(active=1), 1600).phase is Phase.DONE


def test_the_way_back() -> None:
    record = abort(WATCHING, 1500, "because")
    assert (record.phase, record.reason) == (Phase.ABORTING, "because")
    assert decide(record, census(active=5), 1501) is record  # it is left by publishing
    returning = deployed(record, 1502, serial=4, cohort=frozenset())
    assert decide(returning, census(active=1), 1503) is returning
    assert decide(returning, census(active=1), 1502 + 1800).phase is Phase.ABORTED  # some cannot be reached
    ended = decide(returning, census(outside=5), 1503)
    assert (ended.phase, ended.reason) == (Phase.ABORTED, "because")
    assert abort(ended, 1600, "again") is ended


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(0, 10_000))
def test_too_many_is_exact(count: int, of: int, hundredths: int) -> None:
    if too_many(count, of, hundredths / 100):
        assert count * 10_000 >= hundredths * of
    else:
        assert count * 10_000 <= hundredths * of


@given(
    st.sampled_from(list(Phase)),
    st.integers(0, 1),
    st.dictionaries(st.text(max_size=4), st.sampled_from(list(Outcome)), max_size=30),
    st.floats(0, 1e5),
)
def test_whatever_is_seen_the_table_holds(phase: Phase, stage: int, seen: dict[str, Outcome], now: float) -> None:
    record = RolloutRecord(PLAN, phase, stage=stage, selection=TENTH, since=500, stage_since=400)
    after = decide(record, Census(seen), now)
    assert after is record or after.phase in TRANSITIONS[phase]
    assert after.stage in {stage, stage + 1}
    assert after.stage < len(PLAN.stages)
    if Outcome.FAILED not in seen.values():
        assert after.phase is not Phase.ABORTING or phase is Phase.ABORTING


def test_illegal_steps_are_refused() -> None:
    with pytest.raises(IllegalTransitionError, match="from WATCHING to DONE"):
        WATCHING.become(Phase.DONE, 0)


def test_the_record_on_disk(tmp_path: Path) -> None:
    record = RolloutRecord(
        PLAN,
        Phase.PAUSED,
        1,
        Selection(1.5, ("pi-1",), 7, 2, ("pi-1",)),
        5.5,
        4.5,
        frozenset({"pi-1", "pi-2"}),
        9,
        DeploymentEntry("append", "1", devices=("pi-3",)),
        {"2.0.0": 3},
        "x",
    )
    assert load_record(tmp_path, "kitchen", "append") is None
    record.save(tmp_path)
    assert load_record(tmp_path, "kitchen", "append") == record
    path = record_path(tmp_path, "kitchen", "append")
    whole = path.read_text()
    for damaged in ("", "[]", "{}", whole.replace("PAUSED", "LOST"), whole.replace('"stage": 1', '"stage": 7')):
        path.write_text(damaged)
        with pytest.raises(RepositoryError, match="is damaged"):
            load_record(tmp_path, "kitchen", "append")


@pytest.mark.parametrize(
    ("before", "goes_on_with", "goes_back_to"),
    [
        (None, None, None),
        (DeploymentEntry("append", "1"), "1", DeploymentEntry("append", "1")),
        (DeploymentEntry("append", "1", 50.0), None, DeploymentEntry("append", "1", 50.0)),
        (DeploymentEntry("append", "1", 50.0, "0"), "0", DeploymentEntry("append", "1", 50.0, "0")),
        (DeploymentEntry("append", "2.0.0", 5.0, "1"), "1", DeploymentEntry("append", "2.0.0", 0.0, "1")),
        (DeploymentEntry("append", "2.0.0", 5.0), None, None),
    ],
)
def test_what_was_before_comes_back(
    before: DeploymentEntry | None, goes_on_with: str | None, goes_back_to: DeploymentEntry | None
) -> None:
    record = dataclasses.replace(WATCHING, before=before)
    assert record.entry() == DeploymentEntry("append", "2.0.0", 10.0, goes_on_with)
    assert abort(record, 0, "").entry() == goes_back_to


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ()},
        {"stages": (Stage(10.0), Stage(5.0))},
        {"stages": (Stage(count=5), Stage(10.0), Stage(count=5))},
        {"stages": (Stage(), Stage(5.0))},
        {"stages": (Stage(5.0), Stage(5.0))},
        {"stages": (Stage(5.0, count=3),)},
        {"stages": (Stage(count=-1),)},
        {"stages": (Stage(devices=("pi-1", "pi-1")),)},
        {"stages": (Stage(devices=("#",)),)},
        {"stages": (Stage(101.0),)},
        {"stages": (Stage(0.001),)},
        {"max_failed": -1.0},
        {"soak_s": -1.0},
        {"group": "a/b"},
        {"version": ""},
    ],
)
def test_plans_that_make_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(PLAN, **change).check()  # type: ignore[arg-type]


# --- the devices of a stage -------------------------------------------------------------------------------------------

LABEL = "append@2.0.0"


def boards(count: int) -> list[str]:
    return [f"pi-{number}" for number in range(count)]


def walk(online: list[str], *stages: str) -> list[Selection]:
    """The selections of these stages, one after the other, of the same devices."""
    made, before = [], NOBODY
    for stage in stages:
        before = select(stage_named(stage), before, LABEL, online)
        made.append(before)
    return made


def test_three_devices_begin_with_one() -> None:
    """Half of three by a draw for each was all of them, now and then."""
    chosen = walk(boards(3), "1%", "10%", "50%", "100%")
    assert [each.chosen for each in chosen] == [1, 1, 2, 3]
    assert [len(each.added) for each in chosen] == [1, 0, 1, 1]
    assert chosen[-1].percent == 100


@given(st.integers(1, 400), st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_share_is_rounded_up_and_holds_the_smaller_one(count: int, one: int, two: int) -> None:
    small, large = sorted((one, two))
    first, second = walk(boards(count), f"{small / 100}%", f"{large / 100}%")
    for each, share in ((first, small), (second, large)):
        least = -(-count * share // 10_000)
        # Two devices of one bucket cannot be told apart: where hashes draw, the one after the last may come along.
        assert least <= each.chosen <= least + (3 if each.percent and share != 10_000 else 0)
        assert len(each.names) <= 64
    held = {device for device in boards(count) if first.holds(device, LABEL)}
    assert held <= {device for device in boards(count) if second.holds(device, LABEL)}


def test_a_number_stays_what_it_is_whoever_joins() -> None:
    (chosen,) = walk(boards(3), "1")
    assert [device for device in boards(1000) if chosen.holds(device, LABEL)] == list(chosen.names)
    assert len(chosen.names) == 1


def test_a_large_stage_is_drawn_and_those_who_join_have_their_share() -> None:
    (chosen,) = walk(boards(10_000), "10%")
    assert chosen.names == ()
    assert 1000 <= chosen.chosen <= 1005
    joined = sum(chosen.holds(f"new-{number}", LABEL) for number in range(10_000))
    assert 900 < joined < 1100


def test_canaries_come_first_and_stay() -> None:
    canary = select(Stage(devices=("pi-7", "pi-9")), NOBODY, LABEL, boards(20))
    assert canary.names == canary.added == ("pi-7", "pi-9")
    tenth = select(Stage(10.0), canary, LABEL, boards(20))
    assert (tenth.names, tenth.added) == (canary.names, ())
    half = select(Stage(50.0), canary, LABEL, boards(20))
    assert {"pi-7", "pi-9"} < {*half.names}
    assert half.chosen == 10


def test_a_stage_that_adds_none_is_passed_over_and_nobody_online_is_waited_for() -> None:
    plan = RolloutPlan("kitchen", "append", "2.0.0")
    begun = RolloutRecord(plan)
    waits = planned(begun, [], 5.0)
    assert (waits.phase, waits.stage, waits.reason) == (
        Phase.PLANNING,
        0,
        "waits until a device of kitchen is online",
    )
    assert planned(waits, [], 6.0) is waits
    first = planned(waits, boards(3), 7.0)
    assert (first.phase, first.stage, first.selection.chosen, first.reason) == (Phase.DEPLOYING, 0, 1, "")
    second = planned(dataclasses.replace(first, phase=Phase.PLANNING, stage=1), boards(3), 8.0)
    assert (second.stage, str(second.present), second.selection.chosen) == (2, "50%", 2)
    canary = RolloutRecord(dataclasses.replace(plan, stages=(Stage(devices=("pi-9",)), Stage(100.0))))
    assert planned(canary, boards(3), 5.0).reason == "waits until pi-9 is online"


@pytest.mark.parametrize("text", ["", "x", "%", "-1", "1.5", "ten%", "1e3", "²"])
def test_stages_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no stage"):
        stage_named(text)


def test_a_last_stage_that_adds_nobody_does_not_soak_again() -> None:
    last = dataclasses.replace(WATCHING, stage=1, selection=Selection(100.0, (), 3, 3, ()))
    assert phases(last, (1001, census(active=3)), (1002, census(active=3))) == [Phase.SOAKING, Phase.DONE]
