"""Scripts in real workers: the engine is compiled once, a script travels once to each worker, each job starts anew."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from waspi import javascript
from waspi._wasmer import TARGET
from waspi.fault import Fault
from waspi.model.abi import SCRIPT_ABI, Abi, Encoding, ModuleFormat, environment_block
from waspi.model.limits import Limits
from waspi.model.result import ModuleOrigin
from waspi.model.state import JobState
from waspi.sandbox import messages
from waspi.sandbox.settings import ModuleBounds, PoolSettings

from .rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from waspi.sandbox.task import Task

pytestmark = pytest.mark.skipif(
    not TARGET.startswith("x86_64"), reason="an emulated board compiles the engine for minutes"
)

COUNTING: Final = b"let runs = 0; export default (text) => `${text} ${++runs}`"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One rig for the whole file, so that the engine is compiled once."""
    with Rig(tmp_path_factory.mktemp("scripts"), PoolSettings(size=1, warm_modules=2)) as rig:
        yield rig


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """The scripts that went to workers, ``None`` for a request without one."""
    found: list[bytes | None] = []
    pack = messages.pack_run

    def noting(task: Task, code: str, **rest: object) -> tuple[bytes, ...]:
        found.append(rest["script"])  # type: ignore[arg-type]
        return pack(task, code, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("waspi.sandbox.workers.pack_run", noting)
    return found


def test_a_script_runs_and_each_job_starts_anew(board: Rig, sent: list[bytes | None]) -> None:
    digest = board.cache.put(COUNTING)
    first = board.run(digest, b"hello", abi=SCRIPT_ABI)
    assert (first.state, first.outputs) == (JobState.SUCCEEDED, (b"hello 1",))
    assert first.usage.module is ModuleOrigin.COMPILED
    assert board.cache.has_artifact(javascript.engine().sha256)
    second = board.run(digest, b"a", b"b", abi=SCRIPT_ABI)
    assert second.outputs == (b"a 1", b"b 1")
    assert second.usage.module is ModuleOrigin.WARM
    assert sent == [COUNTING, None]


def test_more_scripts_than_a_worker_keeps(board: Rig, sent: list[bytes | None]) -> None:
    scripts = [b"export default () => '%d'" % number for number in range(4)]
    digests = [board.cache.put(script) for script in scripts]
    for _ in range(2):
        for number, digest in enumerate(digests):
            assert board.run(digest, abi=SCRIPT_ABI).outputs == (b"%d" % number,)
    assert None not in sent
    assert board.run(digests[-1], abi=SCRIPT_ABI).outputs == (b"3",)
    assert sent[-1] is None


def test_one_script_called_in_two_ways(board: Rig) -> None:
    digest = board.cache.put(b"export default (v) => v; export const double = (v) => v * 2")
    json = Abi(entry="double", format=ModuleFormat.JAVASCRIPT, encoding=Encoding.JSON)
    assert board.run(digest, b"21", abi=json).outputs == (b"42",)
    assert board.run(digest, b"21", abi=SCRIPT_ABI).outputs == (b"21",)


def test_what_a_run_is_told_of_itself(board: Rig) -> None:
    digest = board.cache.put(b"export default (_, { job, device }) => `${job} on ${device}`")
    environment = environment_block({"WASPI_JOB": "j-1", "WASPI_DEVICE": "pi-7"})
    assert board.run(digest, abi=SCRIPT_ABI, environment=environment).outputs == (b"j-1 on pi-7",)
    assert board.run(digest, abi=SCRIPT_ABI).outputs == (b"undefined on undefined",)


@pytest.mark.parametrize(
    ("script", "given", "kind", "fault"),
    [
        (b"export default (", b"", "invalid-script", Fault.GUEST),
        (b"\xff\xfe", b"", "invalid-script", Fault.GUEST),
        (b"export default () => { throw new Error('no') }", b"", "exception", Fault.GUEST),
        (b"export default () => { for (;;); }", b"", "time-limit", Fault.GUEST),
        (b"export default function f() { return f() + 1 }", b"", "exception", Fault.GUEST),
        (b"export default (text) => text", b"\xff", "bad-input", Fault.PUBLISHER),
    ],
)
def test_what_is_wrong_and_the_next_job_runs(board: Rig, script: bytes, given: bytes, kind: str, fault: Fault) -> None:
    done = board.run(board.cache.put(script), given, abi=SCRIPT_ABI, limits=Limits(time_ms=300, memory_bytes=16 << 20))
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == (kind, fault)
    assert board.run(board.cache.put(COUNTING), b"next", abi=SCRIPT_ABI).outputs == (b"next 1",)


def test_short_scripts_line_up(board: Rig) -> None:
    digest = board.cache.put(COUNTING)
    board.run(digest, b"x", abi=SCRIPT_ABI)
    board.pool._workers._run_us[digest] = 100.0  # as on a quiet machine
    jobs = []
    while board.pool.takes(board.task(digest, abi=SCRIPT_ABI)) and len(jobs) < 3:
        jobs.append(board.submit(digest, b"in line", abi=SCRIPT_ABI))
    assert len(jobs) > 1
    for job in jobs:
        assert board.result(job).outputs == (b"in line 1",)


def test_a_new_worker_gets_engine_and_script_again(board: Rig, sent: list[bytes | None]) -> None:
    digest = board.cache.put(COUNTING)
    board.run(digest, b"x", abi=SCRIPT_ABI)
    os.kill(board.pids()[0], signal.SIGKILL)
    board.until(lambda: not board.pids())
    done = board.run(digest, b"again", abi=SCRIPT_ABI)
    assert done.outputs == (b"again 1",)
    assert done.usage.module is ModuleOrigin.AOT
    assert sent[-1] == COUNTING


def test_wasm_and_scripts_take_turns(board: Rig, guests: Path) -> None:
    names = ("append-wat", "append-c", "append-rust")
    wasm = [board.cache.put((guests / f"{name}.wasm").read_bytes()) for name in names]
    script = board.cache.put(COUNTING)
    for digest in wasm:
        assert board.run(digest, b"x").outputs == (b"x<---- This is your string",)
        assert board.run(script, b"x", abi=SCRIPT_ABI).outputs == (b"x 1",)


def test_the_engine_is_prepared_for_a_script(board: Rig) -> None:
    told: list[object] = []
    board.pool.prepare(board.cache.put(COUNTING), SCRIPT_ABI, told.append)
    board.until(lambda: bool(told))
    assert told == [None]


def test_a_script_that_is_not_here(board: Rig) -> None:
    done = board.run("0" * 64, abi=SCRIPT_ABI)
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("unknown-module", Fault.PUBLISHER)


def test_the_engine_is_compiled_whatever_bounds_hold_for_modules(rigs: Callable[..., Rig]) -> None:
    rig = rigs(
        PoolSettings(size=1, bounds=ModuleBounds(module_bytes=1000, functions=3, compile_ms=500), compile_cpu_s=1)
    )
    done = rig.run(rig.cache.put(COUNTING), b"x", abi=SCRIPT_ABI)
    assert done.outputs == (b"x 1",), done.error
    assert rig.run(rig.cache.put(bytes(2000))).error.kind == "module-too-large"  # type: ignore[union-attr]


def test_an_installation_without_the_engine_says_so(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig = rigs()
    digest = rig.cache.put(COUNTING)
    monkeypatch.setattr(javascript, "_FACTS", tmp_path / "javascript.json")
    javascript.engine.cache_clear()
    try:
        done = rig.run(digest, b"x", abi=SCRIPT_ABI)
    finally:
        javascript.engine.cache_clear()
    assert done.error is not None
    assert (done.error.kind, done.error.fault) == ("device", Fault.DEVICE)
    assert "reinstall waspi" in done.error.message
