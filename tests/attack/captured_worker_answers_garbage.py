"""A captured worker answers with noise, endless frames, deaths and silence while jobs wait behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attack.board import DEVICE, ECHO, PATIENCE_S, Finding
from waspi.model.limits import Limits
from waspi.model.state import JobState

if TYPE_CHECKING:
    from tests.attack.board import Board

DEEDS = (b"garbage", b"huge", b"die", b"silence", b"endless", b"control", b"last words")


def attack(board: Board) -> Finding:
    """Only the job that the worker ran fails; those behind it are answered, each once; memory stays flat."""
    before = board.agent_memory_mib
    with board.operator("guest") as fleet:
        for number in range(20):  # so that the module is known for short, and jobs stand in line
            board.ask(fleet, b"%d" % number)
        hostile, others = [], []
        for deed in DEEDS:
            hostile.append(fleet.submit(DEVICE, ECHO, b"attack:" + deed, limits=Limits(time_ms=300)))
            others += [(b"%s %d" % (deed, number), fleet.submit(DEVICE, ECHO, b"%s %d" % (deed, number)))
                       for number in range(6)]  # fmt: skip
        ended = [handle.result(PATIENCE_S) for handle in hostile]
        wrong = [data for data, handle in others if handle.result(PATIENCE_S).outputs != (data,)]
    grown = board.agent_memory_mib - before
    fine = not wrong and grown < 64 and all(result.state is not JobState.SUCCEEDED for result in ended)
    told = {result.error.kind for result in ended if result.error is not None}
    return Finding(
        fine and told <= {"worker", "time-limit"},
        "strict frames within bounds; the job at the head alone ends with its worker",
        f"{len(others) - len(wrong)} of {len(others)} jobs behind were answered, memory grew by {grown:.0f} MiB",
    )
