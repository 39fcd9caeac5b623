"""A publisher sends one module after the other that nobody has seen, while warm jobs go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attack.board import DEVICE, PATIENCE_S, Finding
from waspi import _wasmer
from waspi.model.state import JobState

if TYPE_CHECKING:
    from tests.attack.board import Board

MODULE = """(module (memory (export "memory") 1) (global i32 (i32.const {number}))
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))"""


def attack(board: Board) -> Finding:
    """The warm jobs are the operator's pulse; it is what is measured."""
    with board.operator("guest") as fleet:
        handles = [
            fleet.submit(DEVICE, _wasmer.wat2wasm(MODULE.format(number=number).encode()), b"x") for number in range(30)
        ]
        states = [handle.result(PATIENCE_S).state for handle in handles]
    return Finding(
        set(states) == {JobState.SUCCEEDED},
        "jobs whose module is being compiled take no worker's place",
        f"{len(states)} modules were compiled",
    )
