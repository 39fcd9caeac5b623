from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.unit.protocol.strategies import results
from waspi.errors import EnvelopeError, Fault
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.protocol.plain_answer import MAX_PROPERTY, plain_answer


def test_success_is_the_raw_output() -> None:
    answer = plain_answer(Result("j", "pi", JobState.SUCCEEDED, (b"\0raw",)))
    assert answer.payload == b"\0raw"
    assert answer.content_type == "application/octet-stream"
    assert answer.user_properties == (("job", "j"), ("state", "SUCCEEDED"))


def test_failure_is_told_in_properties_and_payload() -> None:
    error = JobError(Fault.GUEST, "trap", "division\nby \0 zero")
    answer = plain_answer(Result("j", "pi", JobState.FAILED, error=error))
    assert dict(answer.user_properties) == {
        "job": "j",
        "state": "FAILED",
        "error-fault": "guest",
        "error-kind": "trap",
        "error": "division?by ? zero",
    }
    assert answer.content_type == "application/json"
    assert json.loads(answer.payload) == {
        "state": "FAILED",
        "error": {"fault": "guest", "kind": "trap", "message": "division\nby \0 zero"},
    }


@given(results())
def test_every_result_has_a_plain_form(result: Result) -> None:
    if result.state is JobState.SUCCEEDED and len(result.outputs) != 1:
        with pytest.raises(EnvelopeError):
            plain_answer(result)
        return
    answer = plain_answer(result)
    assert dict(answer.user_properties)["state"] == result.state
    for _, value in answer.user_properties:  # MQTT 5.0, 1.5.4
        assert len(value.encode()) <= MAX_PROPERTY
        assert value.isprintable()


def test_a_long_message_stays_whole_characters() -> None:
    error = JobError(Fault.DEVICE, "storage", "ü" * 2000 + "\ud800")
    answer = plain_answer(Result("j", "pi", JobState.FAILED, error=error))
    assert dict(answer.user_properties)["error"] == "ü" * (MAX_PROPERTY // 2)
