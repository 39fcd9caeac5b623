"""`waspi backup` and `waspi restore`: a board and an operator come back as they were, and no job runs a second time."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.cli.command import waspi
from tests.simulators.agent_process import AgentProcess
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet import Client
from waspi.fleet.key_file import KeyFile
from waspi.journal.journal import Journal

UMASK_0 = ("sh", "-c", 'umask 0; exec "$@"', "sh")
GUEST = Path(__file__).parents[3] / "build" / "guests" / "append-c.wasm"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board that has run a job: its home, with state and config."""
    with Mosquitto(tmp_path / "broker") as broker:
        agent = AgentProcess(tmp_path / "board", broker.url)
        agent.start()
        with Client(broker.url) as client:
            assert client.run(agent.id, GUEST, b"x", timeout=60).outputs == (b"x<---- This is your string",)
        agent.stop()
    return tmp_path / "board"


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Files and folders, with their modes."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mode & 0o777)
        for path in (folder, *folder.rglob("*"))
    }


def test_an_operators_folders_come_back_as_they_were(tmp_path: Path) -> None:
    home = tmp_path / "home"
    KeyFile.create(home / "waspi" / "keys", "ops")
    waspi("profile", "add", "home", "--broker", "mqtt://x", home=home)
    broker = tmp_path / "broker"
    waspi("broker", "config", "--dir", str(broker), "--host", "127.0.0.1", "--devices", "pi-1", home=home)
    before = tree(home / "waspi"), tree(broker)
    out = tmp_path / "out" / "ops.tar.gz"
    made = waspi("backup", "operator", "--out", str(out), "--dir", str(broker), "--json", home=home, within=UMASK_0)
    assert made.code == 0, made.err
    assert made.document["files"] == sum(path.is_file() for top in (home / "waspi", broker) for path in top.rglob("*"))
    assert (out.stat().st_mode & 0o777, out.parent.stat().st_mode & 0o777) == (0o600, 0o755)
    assert {path.name for path in out.parent.iterdir()} == {"ops.tar.gz"}

    blocked = waspi("restore", str(out), home=home)
    assert (blocked.code, "is not empty; --force moves it aside first" in blocked.error_line) == (2, True)
    (home / "waspi" / "keys" / "ops.key").write_text("overwritten by a cat")
    listed = waspi("restore", str(out), "--list", "--json", home=home)
    assert listed.document["places"] == [str(home / "waspi"), str(broker)]
    assert (home / "waspi" / "keys" / "ops.key").read_text() == "overwritten by a cat"
    forced = waspi("restore", str(out), "--force", home=home, within=UMASK_0)
    assert forced.code == 0, forced.err
    assert (tree(home / "waspi"), tree(broker)) == before
    (aside,) = home.glob("waspi.before-*")
    assert (aside / "keys" / "ops.key").read_text() == "overwritten by a cat"
    elsewhere = waspi("restore", str(out), "--root", str(tmp_path / "image"), home=home)
    assert elsewhere.code == 0, elsewhere.err
    assert tree(tmp_path / "image" / str(broker).lstrip("/")) == before[1]


def test_a_board_comes_back_without_its_jobs(board: Path, tmp_path: Path) -> None:
    state = board / "state"
    places = ["--state-dir", str(state), "--config-dir", str(board)]
    out = tmp_path / "pi.tar.gz"
    with closing(Journal.open(state / "journal.db")):  # as by an agent that runs
        made = waspi("backup", "device", "--out", str(out), *places, home=tmp_path)
        assert made.code == 0, made.err
        moved = waspi("backup", "device", "--move", "--out", str(tmp_path / "x.tar.gz"), *places, home=tmp_path)
        assert (moved.code, "in use by another waspi agent" in moved.error_line) == (4, True)
    modules = {name: content for name, content in tree(state).items() if name.startswith("modules")}
    assert modules
    assert waspi("restore", str(out), "--root", str(tmp_path / "new"), home=tmp_path).code == 0
    restored = tmp_path / "new" / str(state).lstrip("/")
    assert {name: each for name, each in tree(restored).items() if name.startswith("modules")} == modules
    assert {path.name for path in restored.glob("journal*")} == {"journal-counters.json"}
    with closing(Journal.open(restored / "journal.db")) as journal:
        assert journal.memory_since > 0  # it takes no signed job from before


def test_a_board_moves_to_a_new_disk_with_its_jobs_and_leaves_none_behind(board: Path, tmp_path: Path) -> None:
    state = board / "state"
    places = ["--state-dir", str(state), "--config-dir", str(tmp_path / "none")]
    out = tmp_path / "pi.tar.gz"
    made = waspi("backup", "device", "--move", "--out", str(out), *places, home=tmp_path)
    assert made.code == 0, made.err
    assert "the configuration is not in the backup" in made.err
    assert not (state / "journal.db").exists()
    assert waspi("restore", str(out), "--root", str(tmp_path / "new"), home=tmp_path).code == 0
    restored = tmp_path / "new" / str(state).lstrip("/")
    with closing(Journal.open(restored / "journal.db")) as journal:
        assert (journal.usage.jobs, journal.memory_since) == (1, 0)


def test_a_backup_that_cannot_be_written_takes_no_jobs(board: Path, tmp_path: Path) -> None:
    state = board / "state"
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "pi.tar.gz"
    made = waspi("backup", "device", "--move", "--out", str(out), "--state-dir", str(state), home=tmp_path)
    assert made.code == 2
    assert (state / "journal.db").exists()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"etc/passwd": b"x"}, "is no backup of waspi's"),
        ({"waspi-backup.json": b"{}"}, "is no backup of waspi's"),
        ({"waspi-backup.json": b"[1]"}, "is no backup of waspi's"),
        ({"waspi-backup.json": b'{"v": 2}'}, "is of format 2"),
        ({"waspi-backup.json": b'{"v": 1, "places": {"a": "../x"}}'}, "names places that are none"),
        ({"waspi-backup.json": None, "a/../../evil": b"x"}, "which no backup of waspi's does; nothing was restored"),
        ({"waspi-backup.json": None, "b/evil": b"x"}, "which no backup of waspi's does; nothing was restored"),
    ],
)
def test_a_strange_archive_restores_nothing(tmp_path: Path, members: dict[str, bytes | None], said: str) -> None:
    target = tmp_path / "target"
    good = {"v": 1, "kind": "operator", "version": "1", "made": 1, "places": {"a": str(target)}}
    file = tmp_path / "strange.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            data = json.dumps(good).encode() if content is None else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    done = waspi("restore", str(file), home=tmp_path)
    assert (done.code, said in done.error_line) == (2, True), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["strange.tar.gz"]


def test_what_is_no_archive(tmp_path: Path) -> None:
    file = tmp_path / "prose"
    file.write_text("This is no archive, it is prose.")
    assert "prose is no backup" in waspi("restore", str(file), home=tmp_path).error_line
    assert "cannot read" in waspi("restore", str(tmp_path / "gone"), home=tmp_path).error_line
    nothing = waspi("backup", "operator", "--out", str(tmp_path / "x"), home=tmp_path)
    assert (nothing.code, "nothing to back up" in nothing.error_line) == (2, True)
    nowhere = waspi("backup", "device", "--out", str(tmp_path / "x"), "--state-dir", "/nowhere", home=tmp_path)
    assert (nowhere.code, "--state-dir" in nowhere.error_line) == (2, True)
