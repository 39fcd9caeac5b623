from __future__ import annotations

from array import array

import pytest

from waspi.cli.call_timing import CallTiming, time_warm
from waspi.cli.doctor.finding import Area, Finding, Level, exit_code_of
from waspi.cli.exit_code import ExitCode
from waspi.cli.fleet_board import MOST_JOBS, FleetBoard, json_of_event
from waspi.cli.result_report import json_of_result, report_group, report_result
from waspi.cli.trace_report import trace_lines
from waspi.cli.watch_table import render
from waspi.engine import Module
from waspi.errors import Fault, GuestError
from waspi.fleet.event import EventKind, FleetEvent
from waspi.fleet.registry import DeviceView
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.protocol.status import StatusChange

EVIL = b"\x1b]0;owned\x07\x1b[31m"


def test_trace_never_sends_a_guests_control_characters_to_the_terminal() -> None:
    figures = dict.fromkeys(
        ("pointer", "result_pointer", "memory_bytes", "buffer_size", "input_size", "memory_address"), 0
    )
    lines = "\n".join(trace_lines({**figures, "buffer_address": 0, "new_size": 0}, EVIL))
    assert "\x1b" not in lines
    binary = "\n".join(trace_lines({**figures, "buffer_address": 0, "new_size": 0}, b"\xff\x00"))
    assert "ff 00" in binary


def result(state: JobState = JobState.SUCCEEDED, output: bytes = b"out", **more: object) -> Result:
    error = None if state is JobState.SUCCEEDED else JobError(Fault.GUEST, "trap", "it fell", "f", 7)
    outputs = (output,) if error is None else ()
    return Result("j", "pi-7", state, outputs, error=error, **more)  # type: ignore[arg-type]


def test_group_report_is_one_line_whatever_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert report_group(result(output=b"a\nb" + EVIL), as_json=False) is ExitCode.OK
    out, _ = capfd.readouterr()
    assert out.count("\n") == 1
    assert "\x1b" not in out


def test_failed_result_is_one_line_with_the_party(capfd: pytest.CaptureFixture[str]) -> None:
    assert report_result(result(JobState.FAILED, log=b"oops"), as_json=False) is ExitCode.JOB_FAILED
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["oops", "waspi: guest: job j on pi-7: FAILED (trap): it fell"]
    assert json_of_result(result(JobState.FAILED))["error"] == {
        "fault": "guest",
        "kind": "trap",
        "message": "it fell",
        "function": "f",
        "offset": 7,
    }


def test_board_keeps_the_newest_jobs_and_renders() -> None:
    board = FleetBoard()
    view = DeviceView("pi-7")
    for number in range(MOST_JOBS + 10):
        status = StatusChange(f"j-{number}", "pi-7", JobState.IN_PROGRESS, 1, 0)
        board.take(FleetEvent(EventKind.STATUS, view, 0.0, status=status))
    board.take(FleetEvent(EventKind.RESULT, view, 1.0, result=result(JobState.FAILED)))
    assert len(board.jobs) == MOST_JOBS
    assert board.jobs["pi-7", "j"].note == "it fell"
    assert len(render(board, jobs=5).renderables) == 2
    document = json_of_event(FleetEvent(EventKind.RESULT, view, 1.0, result=result()))
    assert (document["event"], document["job"], document["output"]) == ("result", "j", "out")


def test_doctors_exit_code_is_that_of_the_worst_area() -> None:
    def finding(area: Area, level: Level) -> Finding:
        return Finding(area, "x", level, "y")

    assert exit_code_of([finding(area, Level.WARN) for area in Area]) is ExitCode.OK
    assert exit_code_of([finding(Area.DEVICE, Level.FAIL)]) is ExitCode.DEVICE
    assert exit_code_of([finding(Area.DEVICE, Level.FAIL), finding(Area.BROKER, Level.FAIL)]) is ExitCode.BROKER
    assert exit_code_of([finding(area, Level.FAIL) for area in Area]) is ExitCode.USAGE


def test_percentiles_are_nearest_ranks() -> None:
    timing = CallTiming(array("q", range(1000, 101_000, 1000)), instances=1)
    assert timing.percentile_us(0.5) == 51.0
    assert timing.percentile_us(1.0) == 100.0
    assert timing.calls == 100


def test_warm_timing_gives_a_new_instance_to_a_guest_that_fills_its_memory() -> None:
    leaks = """(module (memory (export "memory") 1 2) (global $n (mut i32) (i32.const 0))
      (func (export "alloc") (param i32) (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.gt_u (global.get $n) (i32.const 5)) (then unreachable)) (i32.const 1024))
      (func (export "append") (param i32 i32) (result i32) (local.get 1)))"""
    with Module.compile(leaks) as module:
        timing = time_warm(module, b"x", 0.05)
    assert timing.instances > 1
    assert timing.calls >= 4


def test_warm_timing_of_a_guest_that_never_works_is_its_error() -> None:
    broken = """(module (memory (export "memory") 1)
      (func (export "alloc") (param i32) (result i32) unreachable)
      (func (export "append") (param i32 i32) (result i32) (local.get 1)))"""
    with Module.compile(broken) as module, pytest.raises(GuestError):
        time_warm(module, b"x", 0.05)
