"""What a call costs from Python: warm, on a fresh instance; compiling the reference guest against loading it."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from bench.figure import Figure
from bench.peers.environment import PeerAbsentError
from bench.peers.peer import PEERS
from bench.peers.process import Subject
from bench.section import Section
from bench.session import ROOT
from bench.target import Target
from bench.wheel import newest

if TYPE_CHECKING:
    from pathlib import Path

    from bench.session import Session

NAME = "calls"
ROUNDS: Final = 40
WHATS: Final = {"warm": "warm call", "fresh": "fresh call", "load": "AOT load", "compile": "compile"}
BATCH_MS: Final = {"warm": 10.0, "fresh": 10.0, "load": 5.0, "compile": 1.0}
COMPILE_EVERY: Final = 4
"""Compiling takes a hundred milliseconds: in every fourth round."""


def measure(session: Session) -> Section:
    """All subjects, batch by batch in turns."""
    package = _unpacked(session)
    section = Section(
        NAME,
        "One call from Python",
        "Each library runs the same guest in a process of its own, by the same protocol: alloc, copy in, call, copy "
        "out, dealloc; the output is checked. Batches of 10 ms in turns, median of the batches' means. waspi runs with "
        "a device's limits on (fuel, memory, time, output, log), the peers with none. "
        + ("waspi is what its wheel holds, as the peers are. " if package else "waspi is what this checkout holds. ")
        + " ".join(f"{peer.name}: {peer.remark}." for peer in PEERS if peer.remark),
        "waspi",
    )
    with ExitStack() as stack:
        subjects = [stack.enter_context(Subject.waspi(package=package or ROOT / "agent"))]
        for peer in PEERS:
            session.say(f"{peer.name}: {' '.join(peer.requirements)}")
            try:
                subjects.append(stack.enter_context(Subject.peer(peer, session.memory)))
            except PeerAbsentError as error:
                section.absent[peer.name] = str(error)
        samples: dict[tuple[str, str], list[float]] = {}
        rounds = session.count(ROUNDS)
        for turn in range(rounds):
            session.say(f"round {turn + 1} of {rounds}")
            # Rotated, so that nobody always follows the same neighbour.
            for subject in subjects[turn % len(subjects) :] + subjects[: turn % len(subjects)]:
                for operation, what in WHATS.items():
                    if operation in subject.operations and (operation != "compile" or turn % COMPILE_EVERY == 0):
                        taken = subject.sample_us(operation, BATCH_MS[operation])
                        samples.setdefault((subject.name, what), []).append(taken)
    for subject in subjects:
        for what in WHATS.values():
            if taken_us := samples.get((subject.name, what)):
                section.figures.append(Figure.of(subject.name, what, "us", taken_us))
    section.versions = {subject.name: subject.version for subject in subjects}
    section.targets = _targets(section)
    return section


def _unpacked(session: Session) -> Path | None:
    """What a user of the wheel would import: linked with an optimisation that an edit does not wait for."""
    wheel = session.wheel or newest()
    if wheel is None:
        return None
    folder = session.memory / "wheel"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _targets(section: Section) -> list[Target]:
    warm, fresh, load = (section.median("waspi", WHATS[name]) for name in ("warm", "fresh", "load"))
    if warm is None or fresh is None or load is None:
        return []
    targets = [
        Target("warm call", warm, 1.5, "us"),
        Target("fresh call", fresh, 30, "us"),
        Target("AOT load of the reference guest", load, 1000, "us"),
    ]
    compiled = {peer.name: section.median(peer.name, WHATS["warm"]) for peer in PEERS if peer.compiles}
    here = [(median, name) for name, median in compiled.items() if median is not None]
    if here:
        median, name = min(here)
        best = f"warm call against the best compiled peer here, {name}"
        targets.append(Target(best, median / warm, 10, "x", at_most=False))
    return targets
