"""What becomes of releases, event by event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.updates.sample import CRASHED, EXPIRED, FULL, POWER, TRAPPED, life
from waspi.errors import IllegalTransitionError, UsageError
from waspi.model.module_state import ModuleState, may_become
from waspi.model.result import JobError
from waspi.updates import lifecycle
from waspi.updates.lifecycle import Act, Effect, Life, ModuleRecord, TrialTerms

TERMS = TrialTerms(jobs=3, failures=2)
EMPTY = ModuleRecord("append")


def states(record: ModuleRecord) -> dict[str, str]:
    return {each.release.version: each.state.value for each in record.lives}


def acts(effects: tuple[Effect, ...]) -> list[tuple[str, str]]:
    return [(each.act.value, each.life.release.version) for each in effects]


def in_trial(record: ModuleRecord, version: str) -> ModuleRecord:
    record, _ = lifecycle.fetched(record, life(version))
    record, _ = lifecycle.adopted(record, version, None)
    record, _ = lifecycle.compiled(record, version, None)
    record, _ = lifecycle.tested(record, version, None)
    return lifecycle.begin_trial(record, version)[0]


def active(record: ModuleRecord, version: str) -> ModuleRecord:
    return lifecycle.trial_over(in_trial(record, version), version)[0]


def test_each_step_owes_the_next() -> None:
    record, effects = lifecycle.fetched(EMPTY, life("1"))
    assert acts(effects) == [("adopt", "1")]
    for step, owed, state in (
        (lifecycle.adopted, "compile", "VERIFIED"),
        (lifecycle.compiled, "test", "COMPILED"),
        (lifecycle.tested, "begin", "TESTED"),
    ):
        record, effects = step(record, "1", None)
        assert acts(effects) == [(owed, "1")]
        assert states(record) == {"1": state}
        assert acts(lifecycle.resume(record)) == [(owed, "1")]
    record, effects = lifecycle.begin_trial(record, "1")
    assert acts(effects) == acts(lifecycle.resume(record)) == [("serve", "1")]
    assert states(record) == {"1": "TRIAL"}


def test_a_trial_ends_with_enough_good_jobs_and_keeps_the_release_before() -> None:
    record = in_trial(active(active(EMPTY, "1"), "2"), "3")
    for _ in range(TERMS.jobs - 1):
        record, effects = lifecycle.job_ended(record, "3", None, TERMS)
        assert effects == ()
    record, effects = lifecycle.job_ended(record, "3", None, TERMS)
    assert states(record) == {"2": "RETIRED", "3": "ACTIVE"}
    assert acts(effects) == [("serve", "3"), ("let-go", "1")]


def test_fault_34_enough_failures_in_the_trial_bring_the_last_good_back() -> None:
    record = in_trial(active(EMPTY, "1"), "2")
    record, effects = lifecycle.job_ended(record, "2", TRAPPED, TERMS)
    assert effects == ()
    assert record.serving is record.trial
    record, effects = lifecycle.job_ended(record, "2", TRAPPED, TERMS)
    assert acts(effects) == [("serve", "1"), ("tell", "2"), ("let-go", "2")]
    assert states(record) == {"1": "ACTIVE", "2": "ROLLED_BACK"}
    given_up = record.of("2")
    assert given_up is not None
    assert given_up.barred
    assert "2 jobs failed in its trial, the last with unreachable" in given_up.reason


def test_fault_34_a_crash_of_the_worker_is_enough() -> None:
    record, effects = lifecycle.job_ended(in_trial(active(EMPTY, "1"), "2"), "2", CRASHED, TERMS)
    assert states(record) == {"1": "ACTIVE", "2": "ROLLED_BACK"}
    assert acts(effects)[0] == ("serve", "1")


def test_what_is_not_the_modules_fault_does_not_count() -> None:
    record = in_trial(EMPTY, "1")
    for error in (EXPIRED, FULL, EXPIRED):
        record, effects = lifecycle.job_ended(record, "1", error, TERMS)
        assert effects == ()
    assert record.trial is not None
    assert record.trial.failures == 0
    record, _ = lifecycle.job_ended(record, "1", POWER, TERMS)
    assert record.trial is not None
    assert record.trial.failures == 1


def test_jobs_of_another_version_say_nothing() -> None:
    record = in_trial(active(EMPTY, "1"), "2")
    assert lifecycle.job_ended(record, "1", CRASHED, TERMS) == (record, ())


@pytest.mark.parametrize("step", [lifecycle.adopted, lifecycle.compiled, lifecycle.tested])
def test_a_failure_before_the_trial_leaves_the_good_one_alone(step: object) -> None:
    good = active(EMPTY, "1")
    record, _ = lifecycle.fetched(good, life("2"))
    for each in (lifecycle.adopted, lifecycle.compiled, lifecycle.tested):
        record, effects = each(record, "2", TRAPPED if each is step else None)
        if each is step:
            break
    assert states(record) == {"1": "ACTIVE", "2": "FAILED"}
    assert acts(effects) == [("tell", "2"), ("let-go", "2")]
    assert lifecycle.barred(record) == (("2", 0),)


def test_a_full_disk_does_not_bar_a_release() -> None:
    record, _ = lifecycle.fetched(EMPTY, life("1"))
    record, _ = lifecycle.adopted(record, "1", FULL)
    assert states(record) == {"1": "FAILED"}
    assert lifecycle.barred(record) == ()


def test_a_worker_that_dies_over_a_pair_bars_the_release_and_one_that_never_came_up_does_not() -> None:
    record, _ = lifecycle.fetched(EMPTY, life("1"))
    for step in (lifecycle.adopted, lifecycle.compiled):
        record, _ = step(record, "1", None)
    assert lifecycle.barred(lifecycle.tested(record, "1", CRASHED, blamed=True)[0]) == (("1", 0),)
    not_started, _ = lifecycle.tested(record, "1", CRASHED)
    assert states(not_started) == {"1": "FAILED"}
    assert lifecycle.barred(not_started) == ()


def test_a_newer_release_takes_the_place_of_one_in_its_trial_and_the_good_one_stays() -> None:
    record = in_trial(active(EMPTY, "1"), "2")
    record = in_trial(record, "3")
    assert states(record) == {"1": "ACTIVE", "2": "ROLLED_BACK", "3": "TRIAL"}
    assert lifecycle.barred(record) == ()  # it did nothing wrong
    record, _ = lifecycle.job_ended(record, "3", CRASHED, TERMS)
    assert record.serving is not None
    assert record.serving.release.version == "1"


def test_a_deployment_that_names_the_older_one_brings_it_back() -> None:
    record = active(active(EMPTY, "1"), "2")
    record, effects = lifecycle.wanted(record, "1", group="kitchen", serial=7)
    assert states(record) == {"1": "ACTIVE", "2": "RETIRED"}
    assert acts(effects) == [("serve", "1")]
    assert lifecycle.wanted(record, "1", group="kitchen", serial=8) == (record, ())


def test_a_deployment_that_names_the_good_one_ends_a_trial() -> None:
    record = in_trial(active(EMPTY, "1"), "2")
    record, effects = lifecycle.wanted(record, "1", group="kitchen", serial=7)
    assert states(record) == {"1": "ACTIVE", "2": "ROLLED_BACK"}
    assert ("serve", "1") in acts(effects)
    assert lifecycle.barred(record) == ()


def test_rolling_back_by_hand() -> None:
    assert lifecycle.roll_back(EMPTY, "1") == (EMPTY, ())
    record = active(EMPTY, "1")
    with pytest.raises(UsageError, match="none to go back to; with --force"):
        lifecycle.roll_back(record, "1")
    record = active(record, "2")
    record, effects = lifecycle.roll_back(record, "2")
    assert states(record) == {"1": "ACTIVE", "2": "ROLLED_BACK"}
    assert acts(effects)[0] == ("serve", "1")
    assert lifecycle.barred(record) == (("2", 0),)
    record, effects = lifecycle.roll_back(in_trial(record, "3"), "3")
    assert record.serving is record.active


def test_a_rollback_that_is_asked_for_twice_is_done_once() -> None:
    """The file that asks for it may come back: it names the life that it means."""
    record, _ = lifecycle.roll_back(active(active(EMPTY, "1"), "2"), "2")
    assert lifecycle.roll_back(record, "2") == (record, ())
    record, _ = lifecycle.fetched(record, life("2", retry=1))
    for step in (lifecycle.adopted, lifecycle.compiled, lifecycle.tested):
        record, _ = step(record, "2", None)
    record, _ = lifecycle.begin_trial(record, "2")
    assert lifecycle.roll_back(record, "2", retry=0) == (record, ())  # it is another life now


def test_rolling_back_to_nothing_needs_force() -> None:
    for record in (in_trial(EMPTY, "1"), active(EMPTY, "1")):
        with pytest.raises(UsageError, match="the only release of append that has served"):
            lifecycle.roll_back(record, "1")
        after, effects = lifecycle.roll_back(record, "1", force=True)
        assert states(after) == {"1": "ROLLED_BACK"}
        assert acts(effects)[0] == ("withdraw", "1")


def test_what_served_in_its_trial_serves_until_the_next_is_here_and_again_when_that_fails() -> None:
    """Nothing has proved itself so far; something that served is better than nothing."""
    record = in_trial(EMPTY, "1")
    assert lifecycle.wanted(record, "2", group="kitchen", serial=2) == (record, ())
    record = in_trial(record, "2")
    assert states(record) == {"1": "RETIRED", "2": "TRIAL"}
    assert set(record.digests) == {life("1").release.sha256, life("2").release.sha256}
    failed, effects = lifecycle.job_ended(record, "2", CRASHED, TERMS)
    assert states(failed) == {"1": "TRIAL", "2": "ROLLED_BACK"}
    assert acts(effects)[0] == ("serve", "1")
    passed, _ = lifecycle.trial_over(record, "2")
    assert states(passed) == {"1": "RETIRED", "2": "ACTIVE"}
    third = in_trial(record, "3")  # and one more, before the second had proved itself
    assert states(third) == {"2": "RETIRED", "3": "TRIAL"}
    back, _ = lifecycle.wanted(record, "1", group="kitchen", serial=3)
    assert states(back) == {"1": "TRIAL", "2": "ROLLED_BACK"}
    assert lifecycle.barred(back) == ()


def test_a_module_that_nobody_names_any_more_is_taken_off() -> None:
    record, effects = lifecycle.unwanted(in_trial(active(EMPTY, "1"), "2"))
    assert record.lives == ()
    assert acts(effects) == [("withdraw", "2"), ("let-go", "1"), ("let-go", "2")]


def test_a_refusal_is_told_once() -> None:
    record, effects = lifecycle.refused(EMPTY, life("1"), FULL)
    assert [each.act for each in effects] == [Act.TELL, Act.LET_GO]
    assert lifecycle.refused(record, life("1"), FULL) == (record, ())


def test_only_the_last_of_the_ended_are_remembered() -> None:
    record = active(EMPTY, "0")
    for number in range(1, 9):
        record, _ = lifecycle.job_ended(in_trial(record, str(number)), str(number), CRASHED, TERMS)
    assert list(states(record)) == ["0", "5", "6", "7", "8"]


def test_what_the_table_does_not_have_raises_and_changes_nothing() -> None:
    begun = life("1")
    with pytest.raises(IllegalTransitionError):
        begun.become(ModuleState.ACTIVE)
    assert begun.state is ModuleState.FETCHED


ERRORS = st.sampled_from([None, None, None, TRAPPED, CRASHED, FULL, EXPIRED, POWER])
VERSIONS = st.sampled_from(["1", "2", "3"])
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["fetched", "wanted", "begin", "over"]), VERSIONS, st.none()),
    st.tuples(st.sampled_from(["adopted", "compiled", "tested", "job"]), VERSIONS, ERRORS),
    st.tuples(st.just("rollback"), VERSIONS, st.none()),
)


def happens(record: ModuleRecord, kind: str, version: str, error: JobError | None) -> lifecycle.Step:  # noqa: PLR0911 - a table
    match kind:
        case "fetched":
            held = record.of(version)
            if held is not None and not held.state.final:
                return record, ()  # the updater is told what is held, and does not fetch it
            return lifecycle.fetched(record, life(version))
        case "wanted":
            return lifecycle.wanted(record, version, group="kitchen", serial=1)
        case "begin":
            return lifecycle.begin_trial(record, version)
        case "over":
            return lifecycle.trial_over(record, version)
        case "job":
            return lifecycle.job_ended(record, version, error, TERMS)
        case "rollback":
            try:
                return lifecycle.roll_back(record, version)
            except UsageError:
                return record, ()
    step = {"adopted": lifecycle.adopted, "compiled": lifecycle.compiled, "tested": lifecycle.tested}[kind]
    return step(record, version, error)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_something_serves_once_something_did(
    events: list[tuple[str, str, JobError | None]],
) -> None:
    record = EMPTY
    served = False
    before: dict[str, Life] = {}
    for kind, version, error in events:
        record, effects = happens(record, kind, version, error)
        now = [each.state for each in record.lives]
        for single in (ModuleState.TRIAL, ModuleState.ACTIVE, ModuleState.RETIRED):
            assert now.count(single) <= 1
        assert (
            sum(
                not each.final and each not in {ModuleState.TRIAL, ModuleState.ACTIVE, ModuleState.RETIRED}
                for each in now
            )
            <= 1
        )
        if record.serving is None:
            # The one thing that may take the last release away is its own failure.
            assert not served or (kind == "job" and error in {CRASHED, TRAPPED, POWER}), "nothing serves any more"
        served = record.serving is not None
        for each in record.lives:
            earlier = before.get(each.release.version)
            begun_anew = each.state is ModuleState.FETCHED or (earlier is not None and earlier.state.final)
            if earlier is not None and earlier.state is not each.state and not begun_anew:
                assert may_become(earlier.state, each.state)
        before = {each.release.version: each for each in record.lives}
        serve = [each.life for each in effects if each.act is Act.SERVE]
        assert not serve or (record.serving is not None and serve[-1].release == record.serving.release)
        held = {each.release.sha256 for each in (record.active, record.trial, record.retired) if each is not None}
        assert held <= set(record.digests)
