"""Every hostile guest ends as ``guests/hostile/expected.toml`` says, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guests import hostile_case
from tests.guests.hostile_case import CASES, INPUT, LIMITS, Verdict, limits_of, run_case
from waspi import _wasmer, errors

BOMB_SECONDS = 60
"""A bomb that takes longer has won: the compiler was given 10 s, and cores are shared."""
BOMB_RESIDENT_KIB = 768 * 1024
"""A bomb that takes more memory than a board of 1 GiB has to give has won."""
MESSAGE_LENGTH = 2_500


def cases(fault: int | None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.get("fault") == fault])


def check(name: str, verdict: Verdict) -> None:
    case = CASES[name]
    assert verdict.kind in case["kinds"], verdict
    if "at" in case:
        assert verdict.at == case["at"], verdict
    if verdict.kind == "none":
        assert verdict.memory_bytes <= LIMITS["memory_bytes"], verdict
    else:
        assert verdict.fault == ("device" if verdict.kind == "compile" else "guest")
        assert verdict.message.isprintable(), f"not one printable line: {verdict.message!r}"
        assert 10 < len(verdict.message) <= MESSAGE_LENGTH
    assert len(verdict.log) <= limits_of(case)["log_bytes"] + 100, "the log passes its cap by more than a mark"
    if "names" in case:
        assert case["names"].split(".")[-1] in verdict.message
    if "code" in case:
        assert verdict.code == case["code"]


def check_next_run(guests: Path) -> None:
    module = _wasmer.Module.compile((guests / "append-wat.wasm").read_bytes())
    assert module.run(INPUT, time_ms=5_000).output == INPUT + b"<---- This is your string"


def run_apart(name: str, guests: Path) -> Verdict:
    """In a process of its own, whose memory can be measured and which may die without the tests dying with it."""
    command = [sys.executable, hostile_case.__file__, name, str(guests)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOMB_SECONDS, check=False)
    assert done.returncode == 0, f"the process died with {done.returncode}: {done.stderr[-2000:]}"
    said = json.loads(done.stdout)
    return Verdict(**said | {"log": bytes.fromhex(said["log"]), "output": bytes.fromhex(said["output"])})


@cases(25)
def test_fault_25_endless_loop_is_stopped(guests: Path, name: str) -> None:
    check(name, run_case(name, guests))
    check_next_run(guests)


@cases(26)
def test_fault_26_memory_table_and_log_bombs_are_capped(guests: Path, name: str) -> None:
    verdict = run_apart(name, guests)
    check(name, verdict)
    assert verdict.resident_kib < 256 * 1024, "16 MiB of linear memory were granted"
    if verdict.kind == "none" and name != "log_vectors":
        assert verdict.output == INPUT


def test_fault_26_log_keeps_its_beginning(guests: Path) -> None:
    for name in ("log_flood", "log_flood_forever"):
        assert len(run_case(name, guests).log) >= LIMITS["log_bytes"]


def test_fault_26_bad_vectors_get_an_errno(guests: Path) -> None:
    assert all(run_case("log_vectors", guests).output)


@cases(27)
def test_fault_27_compile_bomb_ends_in_bounded_time_and_memory(guests: Path, name: str) -> None:
    verdict = run_apart(name, guests)
    check(name, verdict)
    assert verdict.resident_kib < BOMB_RESIDENT_KIB, verdict


@cases(28)
def test_fault_28_unknown_imports_and_features_are_refused_by_name(guests: Path, name: str) -> None:
    check(name, run_case(name, guests))


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("memory64", "memory64"),
        ("threads_shared_memory", "threads"),
        ("multi_memory", "multi"),
        ("exceptions", "exception"),
    ],
)
def test_fault_28_the_message_names_the_feature(guests: Path, name: str, feature: str) -> None:
    assert feature in run_case(name, guests).message


def test_fault_28_wasi_gives_no_file_and_no_socket(guests: Path) -> None:
    output = run_case("wasi_denied", guests).output
    assert len(output) == 5
    assert all(output), f"an errno is 0: {list(output)}"


@cases(29)
def test_fault_29_pointers_and_sizes_are_checked(guests: Path, name: str) -> None:
    check(name, run_case(name, guests))
    check_next_run(guests)


def test_fault_29_growing_memory_moves_no_result(guests: Path) -> None:
    for name in ("entry_grows_memory", "alloc_grows_memory", "alloc_exact_end"):
        assert run_case(name, guests).output == INPUT


@cases(32)
def test_fault_32_each_trap_has_its_kind(guests: Path, name: str) -> None:
    check(name, run_case(name, guests))
    check_next_run(guests)


@cases(None)
def test_broken_modules_and_exports(guests: Path, name: str) -> None:
    check(name, run_case(name, guests))


def test_truncated_anywhere_is_one_clear_error(guests: Path) -> None:
    whole = (guests / "append-wat.wasm").read_bytes()
    messages = []
    for size in range(len(whole)):
        try:
            _wasmer.Module.compile(whole[:size]).run(INPUT, time_ms=5_000)
        except (errors.InvalidModuleError, errors.MissingExportError) as error:
            messages.append(error.message)
    assert all(message.isprintable() for message in messages)
    assert len(messages) >= len(whole) - 1, (
        "cut between two sections it is still a module; only the data may be dispensable"
    )


def test_every_kind_is_one_of_waspis() -> None:
    known = {cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.WaspiError)}
    assert {kind for case in CASES.values() for kind in case["kinds"]} <= known | {"none"}


def test_every_source_has_its_expectation() -> None:
    folder = Path(hostile_case.EXPECTED).parent
    assert {path.stem for path in folder.glob("*.wat")} == {n for n, case in CASES.items() if "generator" not in case}
