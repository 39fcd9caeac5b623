"""The agent's side of updates over many checks: a real child process plays the updater, the clock is the test's."""

from __future__ import annotations

import gc
import json
import selectors
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.updates.sample import CRASHED, TRAPPED, life
from waspi.errors import StorageError
from waspi.model.limits import DEFAULT_LIMITS
from waspi.model.module_state import ModuleState
from waspi.model.release import Release
from waspi.protocol.depot import MAX_CHUNK_BYTES, TimestampNotice, encode_timestamp_notice
from waspi.sandbox.cache import ModuleCache
from waspi.updates import local_requests, service
from waspi.updates.lifecycle import ModuleRecord, TrialTerms
from waspi.updates.local_requests import RollbackRequest, ask_rollback
from waspi.updates.modules_file import FILE, encode_modules
from waspi.updates.schedule import ScheduleTerms
from waspi.updates.service import Updates
from waspi.updates.settings import UpdatesConfig
from waspi.updates.updater_messages import DEPOT, Finished, Refreshed, Working, encode_message

CONFIG = UpdatesConfig(
    root=Path("/root.json"),
    url="",
    ca=None,
    redirect_hosts=(),
    range_bytes=65536,
    window=8,
    schedule=ScheduleTerms(interval_s=3600.0, spread_s=10.0),
    trial=TrialTerms(jobs=20, failures=3),
    trial_s=3600.0,
)
SPEAKS = "import socket,sys,time;s=socket.socket(fileno=3);s.recv(200000)\n"


class Agent:
    """What updates need of an agent (:class:`Serving` and :class:`Surroundings`), and nothing else."""

    online = True

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        self.asked: list[tuple[str, bytes]] = []

    def serve(self, release: Release, *, trial: bool, others: tuple[Release, ...]) -> None:
        del trial, others
        self.served[release.name] = release.version

    def withdraw(self, name: str) -> None:
        del self.served[name]

    def fixed(self) -> tuple[str, ...]:
        return ()

    def ask_depot(self, depot: str, request: bytes) -> None:
        self.asked.append((depot, request))

    def changed(self) -> None:
        pass

    def raise_floor(self, seen: float) -> None:
        pass


class _Stocked(ModuleCache):
    """Has the bytes of every module: nothing here runs one."""

    def has(self, digest: str) -> bool:
        return bool(digest)


class Bench:
    """Updates with a program of the test's as the updater."""

    def __init__(self, folder: Path, record: ModuleRecord | None = None) -> None:
        self.folder = folder
        self.now = 1000.0
        self.agent = Agent()
        self.selector = selectors.DefaultSelector()
        (folder / "updates").mkdir()
        cache = ModuleCache(folder / "cache", 1 << 20)
        if record is not None:
            cache = _Stocked(folder / "cache", 1 << 20)
            (folder / "updates" / FILE).write_bytes(encode_modules({record.name: record}))
        self.updates = Updates(
            CONFIG,
            device="pi-1",
            groups=("kitchen",),
            state_dir=folder,
            limits=DEFAULT_LIMITS,
            selector=self.selector,
            cache=cache,
            serving=self.agent,
            around=self.agent,
            now=lambda: self.now,
            monotonic=lambda: self.now,
        )

    def program(self, text: str) -> None:
        self.updates._program = (sys.executable, "-I", "-S", "-c", text)

    def run(self, until: Callable[[], bool], step_s: float = 0.0, within_s: float = 60.0) -> None:
        """Rounds of the loop, ``step_s`` of the test's clock apart."""
        end = time.monotonic() + within_s
        while not until():
            assert time.monotonic() < end, "it does not come to that"
            self.updates.tick(self.now)
            for key, _ in self.selector.select(0.05):
                key.data()
            self.now += step_s

    def begin(self) -> None:
        """Go to the time at which a check is due."""
        while not self.updates._schedule.running:
            self.now = max(self.now, self.updates.next_deadline() or 0.0)
            self.updates.tick(self.now)

    def check(self) -> None:
        """One check, from the time it is due to its end."""
        self.begin()
        self.run(lambda: not self.updates._schedule.running)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.updates.close()


def test_fault_44_thousands_of_failed_checks_in_a_row(bench: Bench) -> None:
    """The wait that doubles was a number without end: past 1,023 failures it fitted no float."""
    bench.updates._program = ("/bin/false",)
    for _ in range(50):
        bench.check()
    gc.collect()
    tracemalloc.start()
    for _ in range(1100):
        bench.check()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 100_000, f"{held} bytes more after 1,100 checks"
    assert "status 1" in bench.updates.trouble
    wait = (bench.updates.next_deadline() or 0.0) - bench.now
    assert 1800 <= wait <= 3600


def test_a_long_download_that_goes_on_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes sixteen times as long as an updater may be silent; word of it comes every now and then."""
    monkeypatch.setattr(service, "_STALLED_S", 10.0)
    word, last = encode_message(Working("targets/x", 5, 10)), encode_message(Finished())
    bench.program(f"{SPEAKS}for _ in range(20):\n s.send({word!r})\n s.recv(9)\ns.send({last!r})")
    bench.begin()
    for _ in range(20):
        bench.now += 8.0
        bench.run(lambda: bench.updates._heard == bench.now)
        bench.updates.on_chunk(b"go on")
    bench.run(lambda: not bench.updates._schedule.running)
    assert bench.updates.trouble == ""


def test_an_updater_that_is_silent_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_STALLED_S", 10.0)
    bench.program(f"{SPEAKS}time.sleep(600)")
    bench.begin()
    bench.run(lambda: not bench.updates._schedule.running, step_s=2.5)
    assert "SIGKILL" in bench.updates.trouble


def test_an_oversized_answer_of_a_depot_is_dropped_and_the_others_arrive(bench: Bench) -> None:
    """Whoever may write to a chunk topic could empty the line of all that waited."""
    heard = bench.folder / "heard"
    bench.program(
        f"{SPEAKS}time.sleep(0.3)\nsizes=[]\ns.settimeout(5)\n"
        "while len(sizes)<6: sizes.append(len(s.recv(400000)))\n"
        f"open({str(heard)!r},'w').write(repr(sizes));s.send({encode_message(Finished())!r})"
    )
    bench.begin()
    size = MAX_CHUNK_BYTES
    for number in range(6):
        bench.updates.on_chunk(bytes(size))
        if number in {1, 4}:
            bench.updates.on_chunk(bytes(1 << 20))
    bench.run(lambda: not bench.updates._schedule.running)
    assert bench.updates.trouble == ""
    assert json.loads(heard.read_text()) == [size + len(DEPOT)] * 6


def record_of(*lives: tuple[str, ModuleState]) -> ModuleRecord:
    made = ModuleRecord("append")
    for version, state in lives:
        each = life(version)
        made = made.with_life(type(each)(each.release, state, group="kitchen", serial=1, proven=True))
    return made


def test_a_rollback_whose_request_cannot_be_removed_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, record_of(("1", ModuleState.RETIRED), ("2", ModuleState.ACTIVE)))
    try:
        assert bench.agent.served == {"append": "2"}
        ask_rollback(tmp_path / "updates", RollbackRequest("append", "2", 0))

        def refused(path: Path) -> None:
            raise StorageError(f"cannot remove {path}")

        with monkeypatch.context() as patch:
            patch.setattr(local_requests, "remove_durably", refused)
            for _ in range(3):
                bench.updates._requests.news = True
                bench.updates.tick(bench.now)
        assert bench.agent.served == {"append": "1"}
        assert "cannot remove" in caplog.text
        bench.updates._requests.news = True
        bench.updates.tick(bench.now)
        assert list((tmp_path / "updates" / "requests").iterdir()) == []
        assert bench.agent.served == {"append": "1"}
    finally:
        bench.updates.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":1}', b'{"version":"2","retry":-1,"force":false}'])
def test_a_request_that_is_none_is_said_and_forgotten(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, record_of(("1", ModuleState.RETIRED), ("2", ModuleState.ACTIVE)))
    try:
        (tmp_path / "updates" / "requests" / "rollback.append").write_bytes(content)
        bench.updates._requests.news = True
        bench.updates.tick(bench.now)
        assert "not understood" in caplog.text
        assert list((tmp_path / "updates" / "requests").iterdir()) == []
        assert bench.agent.served == {"append": "2"}
    finally:
        bench.updates.close()


def test_fault_49_what_fails_under_the_publishers_own_terms_says_nothing_of_the_release(tmp_path: Path) -> None:
    """Three jobs with ``{"limits": {"fuel": 1}}`` rolled back a release on trial, and barred it."""
    bench = Bench(tmp_path, record_of(("1", ModuleState.ACTIVE), ("2", ModuleState.TRIAL)))
    try:
        for error in (TRAPPED, CRASHED, TRAPPED, TRAPPED, None):
            bench.updates.on_job_end("append@2 (trial)", error, publishers_terms=True)
        assert bench.agent.served == {"append": "2"}
        for _ in range(3):
            bench.updates.on_job_end("append@2 (trial)", TRAPPED)
        assert bench.agent.served == {"append": "1"}
    finally:
        bench.updates.close()


def test_a_depot_that_comes_after_a_check_that_failed_is_asked_at_once(bench: Bench) -> None:
    """Though it announces what is known already: the metadata had come in, and the module had not."""
    notice = encode_timestamp_notice(TimestampNotice(2, "ab" * 32))
    news = encode_message(Refreshed({"kitchen": 1}, 0.0, "ab" * 32))
    bench.program(f"{SPEAKS}s.send({news!r});s.send({encode_message(Finished('no-answer', 'silent'))!r})")
    for _ in range(8):
        bench.check()
    assert (bench.updates.next_deadline() or 0.0) > bench.now + 500
    bench.updates.on_notice("cellar", notice)
    assert (bench.updates.next_deadline() or 0.0) <= bench.now + 10
    bench.program(f"{SPEAKS}s.send({news!r});s.send({encode_message(Finished())!r})")
    bench.check()
    bench.updates.on_notice("cellar", notice)
    assert (bench.updates.next_deadline() or 0.0) > bench.now + 500


def test_depots_are_asked_in_an_order_of_the_devices_own_and_silent_ones_last(bench: Bench) -> None:
    heard = bench.folder / "heard"

    def asked() -> list[str]:
        bench.check()
        found: list[str] = json.loads(heard.read_bytes())["depots"]
        return found

    def answer(*silent: str) -> None:
        word = encode_message(Finished("no-answer", "silent", silent=silent))
        bench.program(
            "import socket;s=socket.socket(fileno=3)\n"
            f"open({str(heard)!r},'wb').write(s.recv(200000)[1:])\ns.send({word!r})"
        )

    notice = encode_timestamp_notice(TimestampNotice(2, "ab" * 32))
    for depot in ("cellar", "attic", "barn"):
        bench.updates.on_notice(depot, notice)
    answer()
    one, two = asked()
    (three,) = {"cellar", "attic", "barn"} - {one, two}
    answer(one)
    assert asked() == [one, two]
    answer()
    assert asked() == [two, three]  # the first was silent
    bench.updates.on_notice(one, notice)
    assert asked() == [one, two]  # it is back
    bench.updates.on_notice(two, b"")
    assert asked() == [one, three]  # that one is gone
    for number in range(1000):
        bench.updates.on_notice(f"depot-{number}", notice)
    assert len(asked()) == 2
    assert len(bench.updates._depots) == 64
