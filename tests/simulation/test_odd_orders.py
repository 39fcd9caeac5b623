"""The life of jobs against a model: hypothesis chooses what happens and shrinks what fails.

The same things can happen as in :mod:`tests.simulation.run`; here short and odd orders are searched for.
"""

from __future__ import annotations

import shutil

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.simulation.world import World, quick_folder

INDEX = st.integers(0, 7)


class JobLifecycle(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = quick_folder()
        self.world = World(self.folder)
        self.world.connect()

    @rule(
        plain=st.booleans(),
        priority=st.sampled_from((0, 5)),
        lives_s=st.sampled_from((None, 5.0)),
        carried=st.booleans(),
    )
    def send(self, *, plain: bool, priority: int, lives_s: float | None, carried: bool) -> None:
        self.world.send(plain=plain, priority=priority, lives_s=lives_s)
        if carried:
            self.world.carry_down()

    @rule(index=INDEX)
    def send_again(self, index: int) -> None:
        self.world.send_again(index)

    @rule(index=INDEX)
    def send_conflict(self, index: int) -> None:
        self.world.send_conflict(index)

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        self.world.cancel(index)

    @rule()
    def cut_and_connect(self) -> None:
        self.world.cut()
        self.world.connect()

    @rule()
    def cut(self) -> None:
        self.world.cut()

    @rule()
    def connect(self) -> None:
        self.world.connect()

    @rule()
    def forget(self) -> None:
        self.world.forget()

    @rule(index=INDEX)
    def carry_down(self, index: int) -> None:
        self.world.carry_down(index)

    @rule(index=INDEX)
    def carry_puback(self, index: int) -> None:
        self.world.carry_puback(index)

    @rule()
    def carry_up(self) -> None:
        self.world.carry_up()

    @rule(settled=st.booleans())
    def commit(self, *, settled: bool) -> None:
        self.world.commit()
        if settled:
            self.world.turn()

    @rule()
    def refuse(self) -> None:
        self.world.refuse()

    @rule()
    def turn(self) -> None:
        self.world.turn()

    @rule(index=INDEX, fail=st.booleans())
    def finish(self, *, index: int, fail: bool) -> None:
        self.world.finish(index, fail=fail)

    @rule(seconds=st.sampled_from((0.5, 40.0)))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(refuses=st.booleans())
    def broker_refuses(self, *, refuses: bool) -> None:
        self.world.broker_refuses(refuses=refuses)

    @rule(away=st.booleans())
    def publisher_away(self, *, away: bool) -> None:
        self.world.publisher_away(away=away)

    @rule()
    def crash(self) -> None:
        self.world.crash()

    def teardown(self) -> None:
        try:
            self.world.check()
        finally:
            self.world.close()
            shutil.rmtree(self.folder)


def test_every_job_has_one_end_whatever_happens() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        JobLifecycle,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
