#!/usr/bin/env python3
"""Updates in two minutes: three boards, three releases, a staged rollout, a power cut and a rollback, all real."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.demo.ota_board import ENVIRONMENT, Board
from tests.simulators.mosquitto import Mosquitto
from waspi.errors import WaspiError
from waspi.fleet import Client
from waspi.model.state import JobState

NAMES = ("pi-cellar", "pi-kitchen", "pi-attic")
INPUT = "The input string"
GUEST = """(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (data (i32.const 0) "{suffix}")
  {ballast}
  (func (export "alloc") (param i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 0))))
  (func (export "append") (param i32 i32) (result i32)
    (local $turns i32)
    (loop $busy (br_if $busy (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1)))
                                       (i32.const {turns}))))
    (memory.copy (i32.add (local.get 0) (local.get 1)) (i32.const 0) (i32.const {size}))
    (i32.add (local.get 1) (i32.const {size}))))
"""


def step(text: str) -> None:
    """Say what happens next."""
    print(f"\n\033[1m==> {text}\033[0m", flush=True)


def guest(folder: Path, version: str, *, ballast: int = 0, turns: int = 1) -> Path:
    """A module that appends its version; ``ballast`` bytes make it large, ``turns`` make it busy."""
    suffix = f"<---- by {version}"
    noise = "".join(hashlib.sha256(str(at).encode()).hexdigest() for at in range(ballast // 64))
    path = folder / f"append-{version}.wat"
    text = GUEST.format(suffix=suffix, size=len(suffix), turns=turns, ballast=f'(data "{noise}")' if noise else "")
    path.write_text(text)
    return path


class Desk:
    """The operator: ``waspi`` on the command line, and a client that watches and sends work."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.repo = folder / "releases"
        self.client = Client(url)
        self._seen: dict[str, str] = {}
        self._begin = time.monotonic()
        self._work = threading.Event()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._watch), threading.Thread(target=self._send_jobs)]
        self.answers: dict[str, str] = {}

    def start(self) -> None:
        """Begin to watch."""
        self.client.connect()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self.client.close()

    def waspi(self, *arguments: str, expect: int = 0, show: bool = True) -> None:
        """Run a command of the operator's; what it says is shown."""
        shown = " ".join(arguments).replace(f"{self.folder}/", "")
        print(f"    $ waspi {shown}", flush=True)
        command = [sys.executable, "-m", "waspi", *arguments]
        said = []
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=self.folder
        ) as running:
            for line in running.stdout or ():
                said.append(line)
                if show:
                    print(f"      {line}", end="", flush=True)
        if running.returncode != expect:
            print("".join(said), flush=True)
            raise RuntimeError(f"waspi {arguments[0]} ended with {running.returncode}, not {expect}")

    def add(self, version: str, module: Path) -> None:
        """Record a golden pair and take a release into the repository."""
        golden = self.folder / f"golden-{version}.toml"
        self.waspi("golden", "record", str(module), INPUT, "--out", str(golden), show=False)
        options = ("--golden", str(golden), "--repo", str(self.repo))
        self.waspi("repo", "add", str(module), "--name", "append", "--version", version, *options)

    def begin_work(self) -> None:
        """From now on every board gets jobs, by the module's name."""
        self._work.set()

    def until(self, what: str, holds: Callable[[], bool], within_s: float = 90.0) -> None:
        """Wait for something."""
        end = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > end:
                raise RuntimeError(f"it did not come to pass: {what}")
            time.sleep(0.02)

    def runs(self, name: str, version: str, state: str) -> bool:
        """Whether a board reports a version in a state."""
        return self._seen.get(f"{name} append@{version}") == state

    def nothing_is_offered(self) -> bool:
        """Whether no board knows of a release that it does not run."""
        reported = [view.reported for view in self.client.devices().values() if view.reported]
        return not any(module.available for each in reported for module in each.modules)

    @property
    def is_over(self) -> bool:
        """Whether the tour has ended, well or not."""
        return self._over.is_set()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for view in self.client.devices().values():
                self._note(view.id, f"is {view.state}", f"{view.id} presence", view.state)
                for module in view.reported.modules if view.reported else ():
                    reason = f" ({module.reason})" if module.reason else ""
                    label = f"{module.name}@{module.version}"
                    self._note(view.id, f"{label} {module.state}{reason}", f"{view.id} {label}", module.state)

    def _note(self, board: str, text: str, key: str, value: str) -> None:
        if self._seen.get(key) != value:
            self._seen[key] = value
            print(f"      {time.monotonic() - self._begin:5.1f} s  {board:<10} {text}", flush=True)

    def _send_jobs(self) -> None:
        while not self._over.wait(0.2):
            if not self._work.is_set():
                continue
            for name in NAMES:
                serves = {"TRIAL", "ACTIVE"} & {self._seen.get(f"{name} append@{each}.0.0") for each in "123"}
                if self._seen.get(f"{name} presence") != "online" or not serves:
                    continue
                try:
                    result = self.client.run(name, "append", INPUT.encode(), timeout=5)
                except WaspiError:
                    continue  # it is without power
                said = result.module or ""
                if result.state is not JobState.SUCCEEDED:
                    print(f"      {name}: a job failed: {result.error}", flush=True)
                elif self.answers.get(name) != said:
                    self.answers[name] = said
                    print(f"              {name:<10} answers {result.outputs[0].decode()!r}, by {said}", flush=True)


def tour(desk: Desk, boards: dict[str, Board]) -> None:
    """Everything, in order."""
    step("release 1.0.0: a golden pair is recorded, the module checked and stripped, all of it signed")
    desk.add("1.0.0", guest(desk.folder, "1.0.0"))
    desk.waspi("repo", "deploy", "append@1.0.0", "--group", "house", "--repo", str(desk.repo))
    desk.waspi("repo", "publish", "--repo", str(desk.repo))

    step("three boards are switched on; each fetches, checks, compiles, tests and tries it")
    for board in boards.values():
        board.start()
    desk.begin_work()
    for name in NAMES:
        desk.until(f"{name} runs 1.0.0", lambda name=name: desk.runs(name, "1.0.0", "ACTIVE"))  # type: ignore[misc]

    step("release 2.0.0, of 1.5 MB, is rolled out: to one board, to half of them, to all")
    print("    each stage says which boards it takes in before it begins; states: waspi rollout --help")
    desk.add("2.0.0", guest(desk.folder, "2.0.0", ballast=1_500_000))
    cut = threading.Thread(target=cut_power, args=(desk, boards["pi-kitchen"]))
    cut.start()
    options = ("--group", "house", "--repo", str(desk.repo), "--broker", desk.url, "--soak", "2s", "--look", "0.5s")
    desk.waspi("rollout", "append@2.0.0", "--stages", "1,50%,100%", *options)
    cut.join()
    for name in NAMES:
        desk.until(f"{name} runs 2.0.0", lambda name=name: desk.runs(name, "2.0.0", "ACTIVE"))  # type: ignore[misc]

    step("release 3.0.0 is right on the desk; on the boards its golden pair takes more fuel than they grant")
    print(
        "    so it never serves there: the board keeps 2.0.0, and the rollout takes 3.0.0 back by itself: exit code 1"
    )
    desk.add("3.0.0", guest(desk.folder, "3.0.0", turns=1_000_000))
    desk.waspi(
        "rollout", "append@3.0.0", "--canary", "pi-attic", "--stages", "100%", "--max-failed", "0%", *options, expect=1
    )
    desk.until("the first board gave 3.0.0 up", lambda: desk.runs("pi-attic", "3.0.0", "FAILED"))

    desk.until("the boards have read that it was taken back", desk.nothing_is_offered)

    step("what the operator sees, and what one sees on the board itself")
    desk.waspi("fleet", "--broker", desk.url)
    desk.waspi("modules", "--state-dir", str(boards["pi-attic"].state))
    desk.waspi("rollback", "append", "--state-dir", str(boards["pi-cellar"].state))
    desk.until("the board went back", lambda: desk.runs("pi-cellar", "2.0.0", "ROLLED_BACK"))
    desk.until("and answers", lambda: desk.answers["pi-cellar"] == "append@1.0.0")
    if desk.answers != {"pi-cellar": "append@1.0.0", "pi-kitchen": "append@2.0.0", "pi-attic": "append@2.0.0"}:
        raise RuntimeError(f"the boards answer {desk.answers}")


def cut_power(desk: Desk, board: Board) -> None:
    """Take the power from a board in the middle of its download, and give it back."""
    desk.until(f"{board.name} fetches", lambda: board.ranges_there[0] >= 8 or desk.is_over)
    if desk.is_over:
        return
    board.cut_power()
    came, of = board.ranges_there
    print(f"\033[1m      power cut: {board.name}, with {came} of {of} ranges on its disk\033[0m", flush=True)
    time.sleep(1.0)
    board.start()
    desk.until(f"{board.name} goes on", lambda: board.ranges_there[0] > came or board.ranges_there[1] == 0)
    print(f"\033[1m      {board.name} is back and asks for the other {of - came}\033[0m", flush=True)


def main() -> int:
    """Run the demonstration; 0 when all went as it should."""
    folder = Path(tempfile.mkdtemp(prefix="waspi-demo-ota-"))
    boards: dict[str, Board] = {}
    depot: subprocess.Popen[bytes] | None = None
    try:
        with Mosquitto(folder / "broker") as broker:
            desk = Desk(folder, broker.url)
            try:
                step("a private broker, a repository with its keys (two of three root keys sign), a depot")
                print(f"    {broker.url}")
                desk.waspi("repo", "init", str(desk.repo), "--keys", str(folder / "keys"))
                command = [sys.executable, "-m", "waspi", "depot", "--repo", str(desk.repo), "--broker", broker.url]
                print(f"    $ waspi depot --repo releases --broker {broker.url} --rate-mib 0.5")
                depot = subprocess.Popen([*command, "--rate-mib", "0.5"], env=ENVIRONMENT)
                root = desk.repo / "metadata" / "1.root.json"
                boards = {name: Board(folder, name, broker.url, root) for name in NAMES}
                desk.start()
                tour(desk, boards)
                step("all boards answer as they should")
            finally:
                desk.close()
                for board in boards.values():
                    board.stop()
                if depot is not None:
                    depot.terminate()
                    depot.wait()
    except (WaspiError, RuntimeError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        for name, board in boards.items():
            print(f"--- {name}\n{board.log}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
