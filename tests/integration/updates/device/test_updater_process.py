"""The updater against every kind of depot; the depot is the test's, the process is real."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.faultfs import FaultFs, Mode
from tests.integration.updates.device.updater_board import DIGEST, MODULE, SIZE, STEP, Board, clear
from tests.simulators.updater_process import DEPOT_ID, UpdaterRun
from waspi.protocol.depot import RangeChunk, RangeRequest, Refusal, RefusalKind
from waspi.updates.updater_messages import Fetched, NamedRelease, NotFetched, Refreshed

STRANGER = "u-0123456789abcdef"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def of_module(request: RangeRequest) -> bool:
    return request.path.endswith(".wasm")


def test_a_release_is_named_planned_and_fetched(board: Board) -> None:
    run = board.run().finish()
    assert run.of(NamedRelease) == [NamedRelease("append", "1.0.0", "1.0.0", "kitchen", 1)]
    (plan,) = run.of(Refreshed)
    assert isinstance(plan, Refreshed)
    assert plan.serials == {"kitchen": 1}
    assert run.of(Fetched) == [Fetched("append", "1.0.0", "kitchen", 1, 0)]
    assert board.fetched.read_bytes() == MODULE
    word = run.last_word
    assert word is not None
    assert (word.kind, word.requests, word.fetched_bytes) == ("", len(run.requests), SIZE)
    assert "left with status 0" in run.ended
    again = board.run().finish()
    assert again.asked_for(".wasm") == []
    assert again.of(Fetched)  # until the agent says that it holds it
    held = board.run(held={"append": ("1.0.0",)}, serving={"append": "1.0.0"}).finish()
    assert not held.of(Fetched)


def test_fault_21_cut_at_every_chunk_it_asks_only_for_what_is_missing(board: Board) -> None:
    got: set[int] = set()
    for _ in range(20):
        killed = []

        def cut(request: RangeRequest, chunk: RangeChunk, killed: list[bool] = killed) -> Iterable[RangeChunk]:
            if of_module(request):
                assert request.offset not in got, "asked for what it has"
                if killed:
                    return ()
                killed.append(True)
                if request.offset == min(set(range(0, SIZE, STEP)) - got):
                    got.add(request.offset)
            return (chunk,)

        run = board.run(cut)
        seen = len(got)
        while len(got) == seen and not run.ended:
            run.step()
        run.until(lambda: partial_has(board, len(got)))
        run.kill()
        run.finish()
        if len(got) == len(range(0, SIZE, STEP)):
            break
    assert len(got) == 10
    board.run().finish()
    assert board.fetched.read_bytes() == MODULE


def partial_has(board: Board, count: int) -> bool:
    try:
        entries = (board.folder / "download" / f"{DIGEST}.part.map").read_bytes()[24:]
    except FileNotFoundError:  # not begun, or whole: then it goes away
        return board.fetched.exists()
    return sum(entries[at] for at in range(0, len(entries), 8)) >= count


def test_fault_21_killed_at_every_write_it_ends_with_the_whole_module(board: Board) -> None:
    """Every write, rename and sync in turn; the next run goes on, and accepts nothing that is not whole."""
    board.task = replace(board.task, range_bytes=4 * STEP)
    faults = FaultFs(board.folder, board.scratch, lazy=True)
    faults.disarm()
    counted = UpdaterRun(board.site.folder, board.task, environment=faults.environment()).finish()
    assert counted.of(Fetched)
    changes = faults.count
    assert changes > 20
    for at in range(1, changes + 1, 2):  # two in a row differ by a sync, which a kill cannot tell
        for mode in (Mode.KILL, Mode.TORN) if at % 5 == 1 else (Mode.KILL,):
            clear(board.folder)
            faults.arm(mode, at)
            cut = UpdaterRun(board.site.folder, board.task, environment=faults.environment()).finish()
            if board.fetched.exists():
                assert board.fetched.read_bytes() == MODULE
            faults.disarm()
            after = UpdaterRun(board.site.folder, board.task, environment=faults.environment()).finish()
            assert after.last_word is not None, after.ended
            assert after.last_word.kind == "", f"cut at {at} ({mode.name}): {after.last_word.message}"
            assert board.fetched.read_bytes() == MODULE
            once = {*cut.asked_for(".wasm")} | {*after.asked_for(".wasm")}
            assert once == set(range(0, SIZE, 4 * STEP))
    faults.close()


def test_fault_20_mixed_versions_fail_the_hash_and_the_next_run_is_clean(board: Board) -> None:
    def mixed(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if of_module(request) and request.offset == 3 * STEP:
            return (replace(chunk, data=bytes(len(chunk.data))),)
        return (chunk,)

    run = board.run(mixed).finish()
    assert run.last_word is not None
    assert run.last_word.kind == "repository"
    assert "not those that were signed" in run.last_word.message
    assert not [*(board.folder / "download").iterdir()]
    assert not run.of(Fetched)
    assert board.run().finish().of(Fetched)


def test_fault_20_wrong_index_overlap_and_strangers_are_passed_over(board: Board) -> None:
    noise = random.Random(4)  # noqa: S311 - disorder

    def noisy(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk | bytes]:
        if not of_module(request):
            return (chunk,)
        junk = bytes(len(chunk.data))
        other = request.path.replace(DIGEST, "0" * 64)
        answers: list[RangeChunk | bytes] = [
            replace(chunk, offset=chunk.offset + 1, data=junk[1:]),  # overlaps two ranges
            replace(chunk, token=STRANGER, offset=0, data=junk[:100], total=100),
            replace(chunk, token=STRANGER, data=junk),
            replace(chunk, path=other, data=junk),
            b"\xff" * 40,
            b"",
            chunk,
            chunk,
        ]
        first, rest = answers[-2], [each for each in answers if each is not chunk]
        noise.shuffle(rest)
        return (*rest, first, first)

    run = board.run(noisy).finish()
    assert run.of(Fetched), run.last_word
    assert board.fetched.read_bytes() == MODULE


def test_fault_20_a_range_that_is_too_short_ends_it(board: Board) -> None:
    def short(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        return (replace(chunk, data=chunk.data[:-1]),) if of_module(request) and request.offset else (chunk,)

    run = board.run(short).finish()
    assert run.last_word is not None
    assert run.last_word.kind == "no-answer"
    assert f"sent {STEP - 1} bytes for a range of {STEP}" in run.last_word.message
    assert not run.of(Fetched)
    again = board.run().finish()
    assert again.of(Fetched)
    assert 0 not in again.asked_for(".wasm")  # what had come right was kept


def test_fault_20_an_endless_file_costs_one_range(board: Board) -> None:
    def endless(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        return (replace(chunk, total=60_000_000),) if of_module(request) else (chunk,)

    run = board.run(endless).finish()
    assert run.last_word is not None
    assert "is said to have 60000000 bytes, signed are" in run.last_word.message
    used = sum(path.stat().st_blocks * 512 for path in board.folder.rglob("*") if path.is_file())
    assert used < 300_000


def test_a_busy_depot_is_asked_again_and_a_refusal_ends_it(board: Board) -> None:
    put_off: list[int] = []

    def busy(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if of_module(request) and len(put_off) < 2:
            put_off.append(request.offset)
            return (replace(chunk, data=b"", error=Refusal(RefusalKind.BUSY, "busy", 10)),)
        return (chunk,)

    assert board.run(busy).finish().of(Fetched)
    clear(board.folder)

    def gone(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        error = Refusal(RefusalKind.UNREADABLE, "its disk is broken")
        return (replace(chunk, data=b"", error=error),) if of_module(request) else (chunk,)

    run = board.run(gone).finish()
    assert run.last_word is not None
    assert (run.last_word.kind, "its disk is broken" in run.last_word.message) == ("no-answer", True)


def test_a_lost_answer_is_asked_for_again(board: Board) -> None:
    lost: list[int] = []

    def losing(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if of_module(request) and request.offset == 2 * STEP and not lost:
            lost.append(request.offset)
            return ()
        return (chunk,)

    run = board.run(losing).finish()
    assert run.of(Fetched)
    assert sorted(run.asked_for(".wasm")) == sorted([*range(0, SIZE, STEP), 2 * STEP])


def test_the_first_depot_is_asked_and_the_next_one_when_it_is_silent(board: Board) -> None:
    """It is silent from the first range of the module on; what it had sent counts."""

    def leaving(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if of_module(request) and "attic" not in run.asked:
            run.silent = {"cellar"}
            return ()
        return (chunk,)

    run = board.run(leaving, depots=("cellar", "attic"))
    run.finish()
    assert run.of(Fetched)
    assert run.asked[0] == "cellar"
    assert {*run.asked} == {"cellar", "attic"}
    assert run.last_word is not None
    assert run.last_word.silent == ("cellar",)
    assert board.fetched.read_bytes() == MODULE


def test_who_knows_no_depot_asks_all_and_stays_with_who_answers(board: Board) -> None:
    run = board.run().finish()
    assert run.of(Fetched)
    assert run.asked[0] == ""
    assert {*run.asked[1:]} == {DEPOT_ID}


def test_what_one_depot_does_not_have_another_one_may(board: Board) -> None:
    """Its copy of the repository is behind; that it has no newer root is no news."""

    def behind(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if of_module(request) and chunk.depot == "cellar":
            return (replace(chunk, data=b"", error=Refusal(RefusalKind.NOT_FOUND, "no such file")),)
        return (chunk,)

    run = board.run(behind, depots=("cellar", "attic")).finish()
    assert run.of(Fetched), run.last_word
    assert "attic" in run.asked
    clear(board.folder)
    alone = board.run(behind, depots=("cellar",)).finish()
    assert alone.last_word is not None
    assert "no depot has" in alone.last_word.message
    assert not alone.of(Fetched)


def test_refusals_of_ever_new_depots_end_it(board: Board) -> None:
    names = (f"depot-{number}" for number in range(10_000))

    def endless(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
        if not of_module(request):
            return (chunk,)
        return (replace(chunk, depot=next(names), data=b"", error=Refusal(RefusalKind.UNREADABLE, "broken")),)

    run = board.run(endless, depots=("cellar",)).finish()
    assert run.last_word is not None
    assert run.last_word.kind == "no-answer"
    assert len(run.requests) < 1000


def test_a_release_that_is_too_large_or_missing_or_barred_is_not_fetched(board: Board) -> None:
    run = board.run(room=SIZE - 1).finish()
    (no,) = run.of(NotFetched)
    assert isinstance(no, NotFetched)
    assert "raise it" in no.message
    assert run.asked_for(".wasm") == []
    barred = board.run(barred={"append": (("1.0.0", 0),)}).finish()
    assert not barred.of(Fetched)
    assert not barred.of(NotFetched)
    board.site.repository.deploy("kitchen", "append", "1.0.0", retry=True)
    board.site.repository.publish()
    assert board.run(barred={"append": (("1.0.0", 0),)}).finish().of(Fetched)


def test_the_same_bytes_are_fetched_once_whatever_they_are_called(board: Board) -> None:
    board.site.add("twin", "2.0.0", content=MODULE)
    board.site.repository.deploy("kitchen", "twin", "2.0.0")
    board.site.repository.publish()
    run = board.run().finish()
    assert {each.name for each in run.of(Fetched)} == {"append", "twin"}  # type: ignore[union-attr]
    assert sorted(run.asked_for(".wasm")) == [*range(0, SIZE, STEP)]
    clear(board.folder)
    known = board.run(cached=(DIGEST,), room=0).finish()
    assert {each.name for each in known.of(Fetched)} == {"append", "twin"}  # type: ignore[union-attr]
    assert known.asked_for(".wasm") == []
    assert not board.fetched.exists()


def test_without_an_agent_it_ends(board: Board) -> None:
    def vanish(request: RangeRequest, _chunk: RangeChunk) -> Iterable[RangeChunk]:
        assert request.path
        run.let_go()
        return ()

    run = board.run(vanish)
    run.finish()
    assert run.ended
