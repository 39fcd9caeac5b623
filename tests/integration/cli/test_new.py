"""What `waspi new` makes builds, passes `waspi test`, and runs again under `waspi dev` when it is changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import IO

import pytest

from tests.guests.conftest import ROOT, guests  # noqa: F401 - a fixture: its build fetches the compilers
from tests.integration.cli.command import start, waspi
from waspi.cli.function_test import odd_inputs

sys.path.append(str(ROOT / "guests"))
from toolchain import Rust, Zig

GO = shutil.which("go") and re.search(
    r"go1\.(?:2[4-9]|[3-9]\d)", subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
)


def compilers(lang: str, folder: Path) -> dict[str, str]:
    """Environment by which a build script finds the compiler that this project builds its own guests with."""
    if lang == "rust":
        return {"RUSTC": str(Rust(lambda _: None).find("wasm32-unknown-unknown")[0])}
    if lang == "zig":
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder / "z"), "ZIG_LOCAL_CACHE_DIR": str(folder / "z")}
        return {"ZIG": str(Zig(lambda _: None).zig), **caches}
    if lang == "go":
        return {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOCACHE": str(folder / "go-cache")}
    if lang == "assemblyscript":  # as npm install would, which asks the registry
        (folder / "node_modules").symlink_to(ROOT / "guests" / "append" / "assemblyscript" / "node_modules")
    return {}


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("lang", ["javascript", "rust", "c", "zig", "go", "assemblyscript"])
def test_a_new_folder_builds_and_passes_at_once(lang: str, tmp_path: Path) -> None:
    if lang == "go" and not GO:
        pytest.skip("NOT TESTED: this machine has no Go 1.24, and Debian 12 has none to install")
    folder = tmp_path / "shout"
    made = waspi("new", "shout", "--lang", lang, "--dir", str(folder), home=tmp_path)
    assert made.code == 0, made.err
    assert f"{folder}/README.md" in made.text
    assert "@name@" not in "".join(path.read_text() for path in folder.iterdir())
    environment = {**compilers(lang, folder), "PATH": os.environ["PATH"]}
    done = waspi("test", str(folder), "--fuzz", "60", "--seed", "1", home=tmp_path, env=environment, timeout=300)
    assert done.code == 0, done.err + done.text
    assert "2 of 2 golden pairs passed" in done.text
    assert "60 odd inputs did not break it (--seed 1)" in done.text
    commands = re.findall(r"waspi push --device pi-7 (\S+)( --abi \S+)? 'be quiet'", (folder / "README.md").read_text())
    ((module, abi),) = commands
    run = ["run", str(folder / module), *(["--abi", str(folder / "waspi.toml")] if abi else []), "be quiet"]
    ran = waspi(*run, home=tmp_path)
    assert (ran.code, ran.out) == (0, b"BE QUIET"), ran.err


def test_the_python_client_compiles_and_says_how_it_is_called(tmp_path: Path) -> None:
    assert waspi("new", "asker", "--lang", "python-client", "--dir", str(tmp_path / "asker"), home=tmp_path).code == 0
    client = str(tmp_path / "asker" / "client.py")
    usage = subprocess.run([sys.executable, client], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
    assert "python client.py BROKER DEVICE TEXT" in usage.stderr
    nobody = [sys.executable, client, "mqtt://127.0.0.1:1", "pi-7", "x"]
    failed = subprocess.run(nobody, capture_output=True, text=True, check=False, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.startswith("broker: ")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", client]
    checked = subprocess.run(mypy, capture_output=True, text=True, check=False, env={**os.environ, "MYPYPATH": "agent"})
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A function in JavaScript."""
    made = tmp_path / "shout"
    assert waspi("new", "shout", "--dir", str(made), home=tmp_path).code == 0
    return made


def test_a_difference_is_shown_and_taken_over(folder: Path, tmp_path: Path) -> None:
    script = folder / "shout.js"
    script.write_text(script.read_text().replace("input.toUpperCase()", "input.toUpperCase() + '!'"))
    done = waspi("test", str(folder), "--fuzz", "0", home=tmp_path)
    assert done.code == 1
    assert "-BE QUIET\n+BE QUIET!" in done.err
    assert "0 of 2 golden pairs passed" in done.text
    updated = waspi("test", str(folder), "--update", "--fuzz", "0", home=tmp_path)
    assert updated.code == 0, updated.err
    assert 'output = "BE QUIET!"' in (folder / "golden.toml").read_text()
    assert waspi("test", str(folder), "--fuzz", "0", home=tmp_path).code == 0


def test_an_input_that_breaks_the_function_is_kept(folder: Path, tmp_path: Path) -> None:
    (folder / "shout.js").write_text("export default (x) => { if (x.length > 500) for (;;); return x.toUpperCase() }")
    toml = folder / "waspi.toml"
    toml.write_text(toml.read_text() + "\n[limits]\nfuel = 50_000_000\n")
    done = waspi("test", str(folder), "--fuzz", "5", "--seed", "1", "--json", home=tmp_path)
    assert done.code == 1
    assert done.document["ok"] is False
    assert [each["kind"] for each in done.document["broken"]] == ["fuel-limit"]
    kept = Path(done.document["broken"][0]["file"])
    assert len(kept.read_bytes()) > 500


def test_what_is_wrong_with_a_folder_is_said(folder: Path, tmp_path: Path) -> None:
    assert "waspi new" in waspi("test", str(tmp_path), home=tmp_path).error_line
    assert waspi("new", "shout", "--dir", str(folder), home=tmp_path).code == 2
    assert waspi("new", "No Name", home=tmp_path).code == 2
    toml = folder / "waspi.toml"
    good = toml.read_text()
    for wrong, named in (
        ("x = 1\n", "unknown key 'x'"),
        ("build = 5\n", "'build' must be text"),
        ("[abi]\nencoding = 'xml'\n", "encoding"),
    ):
        toml.write_text(good + wrong)
        done = waspi("test", str(folder), home=tmp_path)
        assert done.code == 2
        assert named in done.error_line
    toml.write_text(good + 'build = "echo cannot; exit 3"\n')
    failed = waspi("test", str(folder), home=tmp_path)
    assert failed.code == 2
    assert "status 3" in failed.err
    assert "cannot" in failed.err
    toml.write_text(good)
    (folder / "shout.js").write_text("export default (")
    broken = waspi("test", str(folder), home=tmp_path)
    assert broken.code == 1
    assert "SyntaxError" in broken.error_line


def test_odd_inputs_are_the_same_for_a_seed() -> None:
    import random  # noqa: PLC0415

    def some(seed: int) -> list[bytes]:
        inputs = odd_inputs([b"known"], random.Random(seed))  # noqa: S311 - to be repeated
        return [next(inputs) for _ in range(50)]

    assert some(1) == some(1) != some(2)
    assert some(1)[0] == b""


class Output:
    """What a process writes to stdout and stderr, in no certain order between the two."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._queue: Queue[str] = Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(stream,)) for stream in (process.stdout, process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._queue.put(line.decode())

    def until(self, *parts: str) -> None:
        """Wait until each of them was in a line that came since the last call."""
        missing = set(parts)
        while missing:
            line = self._queue.get(timeout=60)
            missing -= {part for part in missing if part in line}

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


def test_dev_runs_again_when_a_file_changes(folder: Path, tmp_path: Path) -> None:
    process = start("dev", str(folder), "be quiet", home=tmp_path)
    output = Output(process)
    try:
        output.until("BE QUIET", "watching")
        script = folder / "shout.js"
        script.write_text(script.read_text().replace("return", "console.log('seen'); return 'now ' +"))
        output.until("seen", "now BE QUIET", " fuel, ")
        script.write_text("export default (")
        output.until("SyntaxError")
        script.write_text("export default (x) => 'well again'")
        output.until("well again")
    finally:
        process.terminate()
        process.wait(30)
        output.join()


def test_dev_once(folder: Path, tmp_path: Path) -> None:
    done = waspi("dev", str(folder), "--once", home=tmp_path)
    assert (done.code, done.out) == (0, b"BE QUIET\n\n")
    assert " fuel, " in done.err
