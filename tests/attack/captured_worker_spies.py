"""A captured worker keeps what it sees of earlier jobs, for a publisher with another key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attack.board import Finding

if TYPE_CHECKING:
    from tests.attack.board import Board


def attack(board: Board) -> Finding:
    """Jobs of different signing keys never share a worker."""
    seen = []
    with board.operator("ops") as ops, board.operator("guest", "other") as guest:
        for number in range(10):
            board.ask(ops, b"secret %d of ops" % number)
            seen += board.ask(guest, b"attack:spy").outputs[0].split(b"\n")
    stolen = [each for each in seen if each.endswith(b"of ops")]
    return Finding(
        not stolen,
        'isolation = "publisher"',
        f"{len(stolen)} secrets of another key" if stolen else "nothing was there",
    )
