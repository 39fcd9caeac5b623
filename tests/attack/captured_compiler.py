"""A captured compiler hands over artifacts for modules of others, noise, endless frames and silence."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.attack.board import ECHO, Finding
from waspi import _wasmer
from waspi.model.state import JobState

if TYPE_CHECKING:
    from tests.attack.board import Board

VICTIM = _wasmer.wat2wasm(b"""(module (memory (export "memory") 3)
  (func (export "alloc") (param i32) (result i32) (i32.const 2048))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))""")
HOSTILE = """(module (@custom "attack" "attack:{deed}:{victim}") (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param $at i32) (param i32) (result i32)
    (i32.store (local.get $at) (i32.const 0x216b6361)) (i32.const 4)))"""
"""Answers ``ack!`` whatever it is given."""


def attack(board: Board) -> Finding:
    """The victim's own artifact is made from the victim's own bytes, before and after."""
    victim = hashlib.sha256(VICTIM).hexdigest()
    ended = {}
    with board.operator("guest") as fleet:
        for deed in ("other-module", "twice", "garbage", "endless"):
            hostile = _wasmer.wat2wasm(HOSTILE.format(deed=deed, victim=victim).encode())
            ended[deed] = board.ask(fleet, b"input", hostile)
            honest = board.ask(fleet, b"my own output", VICTIM if deed == "endless" else ECHO)
            if honest.outputs != (b"my own output",):
                return Finding(held=False, stopped_by="-", seen=f"after {deed}: {honest.outputs or honest.error}")
    artifacts = [path.name for path in (board.agent.state / "modules").glob("*.aot")]
    told = {deed: result.error.kind for deed, result in ended.items() if result.error is not None}
    fine = f"{victim}.aot" in artifacts and ended["other-module"].state is JobState.FAILED
    return Finding(
        fine and set(told.values()) <= {"compile", "worker"},
        "an artifact is kept for the module that was asked for, and names its own inside",
        ", ".join(f"{deed}: {kind}" for deed, kind in told.items()),
    )
