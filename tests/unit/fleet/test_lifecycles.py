from __future__ import annotations

from itertools import product

import pytest

from waspi.errors import OperatorError
from waspi.fleet import pending_job, reply_path
from waspi.fleet.pending_job import Delivery, PendingJob
from waspi.fleet.reply_path import PathState, ReplyPath
from waspi.model.result import Result
from waspi.model.state import JobState


def job(device: str | None = "pi-7", taken: list[str] | None = None) -> PendingJob:
    def on_result(result: Result) -> bool:
        if taken is not None:
            taken.append(result.device)
        return device is not None

    return PendingJob(
        id="j",
        device=device,
        group=None if device else "attic",
        topic="t",
        body=b"",
        content_type="application/cbor",
        correlation=b"c",
        on_result=on_result,
        on_failure=lambda _: None,
        on_taken=lambda: None,
    )


@pytest.mark.parametrize(("now", "then"), list(product(Delivery, Delivery)))
def test_delivery_takes_the_tables_transitions_and_no_other(now: Delivery, then: Delivery) -> None:
    pending = job()
    pending.state = now
    if then in pending_job.TRANSITIONS[now]:
        pending.become(then)
        assert pending.state is then
    else:
        with pytest.raises(OperatorError, match="no transition"):
            pending.become(then)
        assert pending.state is now


@pytest.mark.parametrize(("now", "then"), list(product(PathState, PathState)))
def test_reply_path_takes_the_tables_transitions_and_no_other(now: PathState, then: PathState) -> None:
    path = ReplyPath("me")
    path.state = now
    if then in reply_path.TRANSITIONS[now] or now is then is PathState.DOWN:
        path.become(then)
        assert path.state is then
    else:
        with pytest.raises(OperatorError, match="no transition"):
            path.become(then)
        assert path.state is now


def result(device: str) -> Result:
    return Result("j", device, JobState.SUCCEEDED, (b"",))


def test_answers_are_taken_once_and_only_from_whom_they_were_asked() -> None:
    got: list[str] = []
    pending = job("pi-7", got)
    assert not pending.take(result("pi-8"))
    assert pending.take(result("pi-7"))
    assert not pending.take(result("pi-7"))
    assert got == ["pi-7"]


def test_group_job_takes_one_answer_of_each_device_and_goes_on() -> None:
    got: list[str] = []
    pending = job(None, got)
    assert not any(pending.take(result(device)) for device in ("pi-1", "pi-2", "pi-1"))
    assert got == ["pi-1", "pi-2"]
