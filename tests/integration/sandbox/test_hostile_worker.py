"""The parent against workers that die, hang and lie. The worker is a stand-in; process, sockets and pool are real."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

import pytest

from waspi.errors import DuplicateJobError, Fault, LockdownError, QueueFullError, WorkerError
from waspi.model.abi import Abi
from waspi.model.limits import Limits
from waspi.model.result import ModuleOrigin
from waspi.model.state import JobState

from .rig import PATIENCE_S, put_artifact

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rig import Rig

    Fake = Callable[..., tuple[Rig, str]]

MIB = 1024 * 1024


def test_echo_through_a_worker_that_stays_warm(fake: Fake) -> None:
    rig, digest = fake()
    first = rig.run(digest, b"one", b"two")
    second = rig.run(digest, b"three")
    assert first.state is JobState.SUCCEEDED
    assert first.outputs == (b"one", b"two")
    assert first.usage.module is ModuleOrigin.AOT
    assert second.usage.module is ModuleOrigin.WARM
    assert rig.alive == 1


def test_input_and_output_of_megabytes_pass_while_the_loop_goes_on(fake: Fake) -> None:
    rig, digest = fake()
    data = os.urandom(8 * MIB)
    job = rig.submit(digest, data, b"", data[: MIB + 1])
    turns = 0
    while not rig.done:
        rig.turn()
        turns += 1
    assert turns > 10  # no turn sent or received the whole
    assert rig.result(job).outputs == (data, b"", data[: MIB + 1])


@pytest.mark.parametrize(
    ("word", "part"),
    [
        (b"segv", "killed by SIGSEGV"),
        (b"exit", "left with status 3: last words  of mine"),
        (b"garbage", "garbage"),
        (b"huge", "garbage"),
        (b"other-seq", "garbage"),
        (b"wrong-count", "garbage"),
        (b"lying-sizes", "garbage"),
        (b"negative", "garbage"),
        (b"blames-publisher", "garbage"),
        (b"unasked-cancel", "garbage"),
        (b"half", "garbage"),
        (b"close", "closed its socket and stayed"),
    ],
)
def test_fault_30_its_job_fails_and_the_next_runs(fake: Fake, word: bytes, part: str) -> None:
    rig, digest = fake()
    assert rig.run(digest, b"before").outputs == (b"before",)
    done = rig.run(digest, word)
    assert done.state is JobState.FAILED
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("worker", Fault.DEVICE)
    assert part in done.error.message
    assert done.error.message.isprintable()
    after = rig.run(digest, b"after")
    assert after.outputs == (b"after",)
    assert after.usage.module is ModuleOrigin.AOT  # a new worker


def test_fault_30_other_workers_jobs_are_not_touched(fake: Fake) -> None:
    rig, digest = fake(size=2)
    dying = rig.submit(digest, b"segv")
    living = rig.submit(digest, b"fine")
    assert rig.result(dying).state is JobState.FAILED
    assert rig.result(living).outputs == (b"fine",)


def test_an_answer_followed_by_death_counts(fake: Fake) -> None:
    rig, digest = fake()
    assert rig.run(digest, b"answer-and-die").outputs == (b"x",)
    rig.until(lambda: rig.alive == 0)
    assert rig.run(digest, b"next").outputs == (b"next",)


def test_two_answers_to_one_question_end_the_worker(fake: Fake) -> None:
    rig, digest = fake()
    rig.run(digest, b"two-answers")
    rig.until(lambda: rig.alive == 0)
    assert rig.run(digest, b"next").state is JobState.SUCCEEDED


def test_error_of_the_guest_arrives_clean(fake: Fake) -> None:
    rig, digest = fake()
    done = rig.run(digest, b"trap")
    assert done.state is JobState.FAILED
    assert done.log == b"log"
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("unreachable", Fault.GUEST)
    assert (done.error.function, done.error.offset) == ("func", 99)
    assert done.error.message == "a message  [31mwith colour"


def test_worker_that_overruns_its_deadline_is_killed(fake: Fake) -> None:
    rig, digest = fake()
    job = rig.submit(digest, b"hang", limits=Limits(time_ms=5_000))
    rig.until(lambda: rig.pool._workers.all[0].assignment is not None)
    rig.clock.ahead += 5.4
    rig.pool.tick(rig.clock())
    assert not rig.done  # the grace has not passed
    rig.clock.ahead += 0.2
    done = rig.result(job)
    assert done.state is JobState.TIMED_OUT
    assert done.error is not None
    assert done.error.kind == "time-limit"
    assert rig.run(digest, b"next").state is JobState.SUCCEEDED


@pytest.mark.parametrize(("word", "part"), [(b"device", "no address space"), (b"starved", "ran out of memory")])
def test_what_the_board_lacks_is_its_own_fault(fake: Fake, word: bytes, part: str) -> None:
    rig, digest = fake()
    done = rig.run(digest, word)
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("device", Fault.DEVICE)
    assert part in done.error.message
    assert not done.blames_module
    assert rig.run(digest, b"next").state is JobState.SUCCEEDED


def test_no_run_took_longer_than_it_can_have(fake: Fake) -> None:
    rig, digest = fake()
    began = rig.clock()
    jobs = [rig.run(digest, b"long-ago", limits=Limits(fuel=1_000)) for _ in range(3)]
    passed_us = (rig.clock() - began) * 1_000_000
    assert 0 < sum(done.usage.run_us for done in jobs) <= passed_us
    assert {done.usage.fuel for done in jobs} == {1_000}


@pytest.mark.parametrize(
    ("word", "terms", "blames"),
    [
        (b"trap", {}, True),
        (b"trap", {"own_terms": True}, False),
        (b"segv", {}, True),
        (b"segv", {"own_terms": True}, False),
        (b"garbage", {}, True),
        (b"device", {}, False),
        (b"fine", {}, False),
    ],
)
def test_fault_49_what_is_held_against_a_module(
    fake: Fake, word: bytes, terms: dict[str, object], *, blames: bool
) -> None:
    rig, digest = fake()
    assert rig.run(digest, word, **terms).blames_module is blames


def test_a_worker_that_ran_another_module_before_speaks_against_none(fake: Fake) -> None:
    rig, digest = fake()
    other = rig.cache.put(b"another module")
    put_artifact(rig.cache, other, b"its artifact")
    rig.run(other, b"fine")
    assert not rig.run(digest, b"garbage").blames_module
    assert rig.run(digest, b"garbage").blames_module  # in a worker of its own now


@pytest.mark.parametrize(("time_ms", "told"), [(None, False), (1_000, False), (9_000, True)])
def test_a_limit_that_the_device_cut_is_told(fake: Fake, time_ms: int | None, *, told: bool) -> None:
    rig, digest = fake()
    job = rig.submit(digest, b"hang", limits=Limits(time_ms=5_000), asked=Limits(time_ms=time_ms))
    rig.until(lambda: rig.pool._workers.all[0].assignment is not None)
    rig.clock.ahead += 6.0
    error = rig.result(job).error
    assert error is not None
    assert error.message.endswith("(the job asked for 9000 ms, this device grants 5000)") is told


def test_cancel_of_a_worker_that_does_not_listen_kills_it(fake: Fake) -> None:
    rig, digest = fake(grace_ms=200)
    job = rig.submit(digest, b"hang")
    rig.until(lambda: rig.pool._workers.all[0].assignment is not None)
    assert rig.pool.cancel(job)
    assert rig.pool.cancel(job)
    assert rig.result(job).state is JobState.CANCELED
    assert not rig.pool.cancel(job)


def test_cancel_before_the_worker_is_up(fake: Fake) -> None:
    rig, digest = fake()
    job = rig.submit(digest, b"never runs")
    assert rig.pool.cancel(job)
    assert not rig.done  # never from within
    assert rig.result(job).state is JobState.CANCELED
    assert rig.pool.free == 1


def test_kill_from_outside_in_mid_job(fake: Fake) -> None:
    rig, digest = fake()
    job = rig.submit(digest, b"hang")
    rig.until(lambda: rig.pool._workers.all[0].assignment is not None)
    os.kill(rig.pids()[0], signal.SIGKILL)
    done = rig.result(job)
    assert done.error is not None
    assert (done.state, done.error.kind, done.error.fault) == (JobState.FAILED, "device", Fault.DEVICE)
    assert "ran out of memory, or the board did: it was killed by SIGKILL" in done.error.message
    assert not done.blames_module


def test_idle_worker_that_dies_is_replaced(fake: Fake) -> None:
    rig, digest = fake()
    rig.run(digest, b"one")
    os.kill(rig.pids()[0], signal.SIGKILL)
    rig.until(lambda: rig.alive == 0)
    assert rig.run(digest, b"two").outputs == (b"two",)


def test_job_that_never_reached_a_dead_worker_goes_to_another(fake: Fake) -> None:
    rig, digest = fake()
    rig.run(digest, b"one")
    ended = os.pidfd_open(rig.pids()[0])
    os.kill(rig.pids()[0], signal.SIGKILL)
    assert select.select([ended], [], [], PATIENCE_S)[0]
    os.close(ended)
    assert rig.run(digest, b"two").outputs == (b"two",)  # submitted before the loop has heard of the death


def test_idle_worker_leaves_when_its_time_has_come(fake: Fake) -> None:
    rig, digest = fake(idle_s=30.0)
    rig.run(digest, b"one")
    rig.clock.ahead += 29.0
    rig.pool.tick(rig.clock())
    assert rig.pool._workers.all[0].state == "IDLE"
    due = rig.pool.next_deadline(rig.clock())
    assert due is not None
    assert 0 < due - rig.clock() <= 1.0
    rig.clock.ahead += 1.0
    rig.until(lambda: rig.alive == 0)
    assert rig.pool.next_deadline(rig.clock()) is None  # an idle agent sleeps until an event
    assert not rig.selector.get_map()


@pytest.mark.parametrize("way", ["dies", "garbled"])
def test_workers_that_do_not_start_are_paused_and_the_job_given_up(fake: Fake, way: str) -> None:
    rig, digest = fake(way)
    job = rig.submit(digest, b"x")
    rig.until(lambda: rig.alive == 0)
    rig.pool.tick(rig.clock())
    assert rig.alive == 0  # not at once again
    due = rig.pool.next_deadline(rig.clock())
    assert due is not None
    assert due > rig.clock()
    done = rig.result(job)
    assert done.error is not None
    assert (done.state, done.error.kind) == (JobState.FAILED, "worker")
    if way == "dies":
        assert "no such engine" in done.error.message


def test_worker_that_says_nothing_at_its_start_is_killed(fake: Fake) -> None:
    rig, digest = fake("mute", start_ms=5_000)
    job = rig.submit(digest, b"x")
    for _ in range(3):
        rig.until(lambda: rig.alive == 1)
        rig.clock.ahead += 5.0
        rig.until(lambda: rig.alive == 0)
        rig.clock.ahead += 10.0
    done = rig.result(job)
    assert done.error is not None
    assert "did not come up in time" in done.error.message


def test_program_that_is_not_there(fake: Fake) -> None:
    rig, digest = fake(worker_command=("/nonexistent/python",))
    done = rig.run(digest, b"x")
    assert done.error is not None
    assert done.error.kind == "worker"
    assert "/nonexistent/python" in done.error.message


def test_demanded_part_of_the_lockdown_is_missing(fake: Fake) -> None:
    rig, digest = fake("open", require=frozenset({"seccomp"}))
    done = rig.run(digest, b"x")
    assert done.error is not None
    assert done.error.kind == "lockdown"
    assert "seccomp" in done.error.message
    with pytest.raises(LockdownError, match="requires seccomp, but here it is off: fake"):
        rig.pool.probe()


def test_probe(fake: Fake) -> None:
    rig, _ = fake(require=frozenset({"seccomp"}))
    assert rig.pool.probe() == {"seccomp": "on"}
    assert rig.pool.posture == {"seccomp": "on"}
    assert rig.pool.engine == "fake 1"
    assert rig.alive == 0
    broken, _ = fake("dies")
    with pytest.raises(WorkerError, match="no such engine"):
        broken.pool.probe()


def test_start_one_ahead_of_the_first_job(fake: Fake) -> None:
    rig, _ = fake()
    rig.pool.start_one()
    rig.until(lambda: bool(rig.pool.posture))
    assert rig.alive == 1
    assert rig.pool.free == 1


def test_no_more_tasks_than_workers(fake: Fake) -> None:
    rig, digest = fake(size=2)
    task = rig.task(digest, b"hang")
    rig.pool.submit(task)
    with pytest.raises(DuplicateJobError):
        rig.pool.submit(task)
    rig.submit(digest, b"hang")
    assert rig.pool.free == 0
    with pytest.raises(QueueFullError):
        rig.submit(digest, b"hang")


def test_stored_artifact_is_refused_once_then_rebuilt_then_given_up(fake: Fake) -> None:
    rig, digest = fake(compiler_command=("/bin/false",))
    done = rig.run(digest, b"artifact")
    assert done.state is JobState.FAILED
    assert not rig.cache.has_artifact(digest)  # dropped; the rebuild failed, since there is no compiler here
    assert done.error is not None
    assert "left with status 1" in done.error.message


def test_module_in_use_is_not_evicted(fake: Fake) -> None:
    rig, digest = fake()
    job = rig.submit(digest, b"x")
    assert rig.cache._pins[digest] == 1
    rig.result(job)
    assert not rig.cache._pins


def test_abi_that_no_worker_can_be_asked_for(fake: Fake) -> None:
    rig, digest = fake()
    done = rig.run(digest, b"x", abi=Abi(headroom=-1))
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("bad-envelope", Fault.PUBLISHER)
    assert rig.run(digest, b"x").state is JobState.SUCCEEDED
