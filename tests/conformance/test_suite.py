"""The WebAssembly suite on this engine: compiled, from an artifact, within a device's limits, through workers."""

from __future__ import annotations

import pytest

from tests.conformance import runner, workers
from tests.conformance.suite import Subject, prepared
from tests.native.wat import COMPILES

SUITE = prepared()
SCRIPTS = sorted({tested.script for tested in SUITE.plan.tested})
NOT_HERE = set() if COMPILES else {"the module needs SIMD, which waspi has switched off"}
"""Reasons for which this engine may leave assertions out."""
ASSERTIONS = 47_000 if COMPILES else 23_000
WORKER_SHARE = 20
"""One of so many modules goes through workers here; ``make conformance`` sends all of them."""


def of(script: str) -> list[Subject]:
    return [tested for tested in SUITE.plan.tested if tested.script == script]


def test_hardly_anything_of_the_suite_is_left_out() -> None:
    tried = sum(tested.assertions for tested in SUITE.plan.tested if COMPILES or not tested.script.startswith("simd."))
    assert tried > ASSERTIONS
    assert sum(SUITE.plan.left_out.values()) < 500
    assert len(SUITE.plan.refused) > 4_000


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_assertion_holds(script: str) -> None:
    tallies = {mode: runner.Tally() for mode in runner.MODES}
    for tested in of(script):
        for mode, tally in runner.in_process(SUITE, tested):
            tallies[mode].add(tally)
    for mode, tally in tallies.items():
        assert not tally.failed, f"{mode}: {tally.failed[:20]}"
        assert set(tally.left_out) <= NOT_HERE


@pytest.mark.parametrize("script", sorted({refused.script for refused in SUITE.plan.refused}))
def test_what_is_invalid_is_refused(script: str) -> None:
    for refused in SUITE.plan.refused:
        if refused.script == script:
            assert not runner.refuse(SUITE, refused).failed


def test_a_bit_that_is_turned_is_seen() -> None:
    """Without this, a harness that compares nothing would pass."""
    seen = 0
    for tested in SUITE.plan.tested:
        if tested.spoilt:
            spoilt = Subject(tested.script, tested.line, tested.spoilt, steps=tested.steps)
            ((_, tally),) = runner.in_process(SUITE, spoilt, ("fresh",))
            if set(tally.left_out) <= NOT_HERE and tally.left_out:
                continue
            step = tested.spoilt_step
            told = f"step {step + 1} of {len(tested.steps)} gives another result"
            assert tally.failed == [f"{tested.script}:{tested.steps[step]} {told}"]
            seen += 1
    assert seen > (150 if COMPILES else 80)


def test_assertions_hold_in_real_workers() -> None:
    tally = workers.run(SUITE, SUITE.plan.tested[::WORKER_SHARE])
    assert not tally.failed, tally.failed[:20]
    assert tally.passed["returns"] > (1_000 if COMPILES else 400)
    assert tally.passed["traps"] > 50
