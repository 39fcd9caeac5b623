"""A captured worker asks the kernel for files, sockets, processes, signals, threads and executable memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attack.board import Finding

if TYPE_CHECKING:
    from tests.attack.board import Board


def attack(board: Board) -> Finding:
    """Each attempt is denied."""
    with board.operator("guest") as fleet:
        lines = board.ask(fleet, b"attack:try").outputs[0].decode().splitlines()
        threads = int(board.ask(fleet, b"attack:threads").outputs[0])
    done = [line for line in lines if not line.endswith("EPERM")]
    if threads:
        done.append(f"{threads} threads started")
    return Finding(
        not done and len(lines) > 10,
        "seccomp, Landlock and rlimits of the worker",
        "; ".join(done) or f"{len(lines)} attempts and 100 threads, all EPERM",
    )
