"""One hostile board, and every command that shows what it says: its words are seen, and command nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli import guest
from tests.integration.cli.command import waspi
from tests.integration.cli.terminal import on_terminal
from tests.simulators.hostile_board import EVIL, ODD_REPORTS, PLANTED, HostileBoard
from tests.simulators.mosquitto import Mosquitto
from waspi.cli.app import COMMANDS, main

GUESTS = Path(__file__).parents[3] / "build" / "guests" / "hostile"
HOSTILE = re.compile("\x1b\\]|\x1b\\[5m|\x07|\x08|[\x80-\x9f]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
"""What the board plants; a table's own colours and cursor movements are others."""


@pytest.fixture
def board(broker: Mosquitto) -> Iterator[HostileBoard]:
    with HostileBoard(broker.url) as running:
        running.announce()
        yield running


def check(shown: str) -> None:
    found = HOSTILE.search(shown)
    assert found is None, (found, shown)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(each)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("fleet",), 0),
        (("fleet", "--json"), 0),
        (("watch", "--once"), 0),
        (("watch", "--once", "--json"), 0),
        (("push", "--device", "pi-7", "stats", "x"), 1),
        (("push", "--device", "pi-7", "stats", "x", "--json"), 1),
        (("push", "--group", "kitchen", "stats", "x"), 1),
        (("push", "--group", "kitchen", "stats", "x", "--json"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_shows_a_hostile_boards_words_and_obeys_none(
    broker: Mosquitto, board: HostileBoard, tmp_path: Path, command: tuple[str, ...], code: int
) -> None:
    ended, shown = on_terminal(*command, "--broker", broker.url, home=tmp_path)
    assert ended == code, shown
    check(shown)
    assert PLANTED in shown
    piped = waspi(*command, "--broker", broker.url, home=tmp_path)
    assert piped.code == code
    check(piped.text + piped.err)
    if "--json" in command:
        documents = [json.loads(line) for line in piped.text.splitlines()]
        assert any(EVIL in text for document in documents for text in texts(document))  # a parser reads what was said


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_watch_goes_on_beside_a_hostile_board(
    broker: Mosquitto, board: HostileBoard, tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended, shown = on_terminal("watch", *options, "--broker", broker.url, home=tmp_path, until=PLANTED.encode())
    assert ended == 0, shown
    check(shown)


def test_a_board_that_cannot_be_read_is_a_marked_row_beside_the_others(
    broker: Mosquitto, board: HostileBoard, tmp_path: Path
) -> None:
    lines = waspi("fleet", "--json", "--broker", broker.url, home=tmp_path).text.splitlines()
    devices = {document["device"]: document for document in map(json.loads, lines)}
    assert devices["pi-7"]["reported"]["labels"] == {EVIL: EVIL}
    for name in ODD_REPORTS:
        assert "presence" in devices[f"odd-{name}"]["unreadable"]
        assert "last_job" in devices[f"odd-{name}"]["unreadable"]
    table = waspi("fleet", "--broker", broker.url, home=tmp_path)
    assert table.code == 0
    assert table.text.count("cannot be read: ") == len(ODD_REPORTS)
    assert waspi("watch", "--once", "--broker", broker.url, home=tmp_path).text.count("cannot") == len(ODD_REPORTS)


def test_raw_output_goes_into_a_pipe_as_it_is_and_to_a_terminal_visibly(broker: Mosquitto, tmp_path: Path) -> None:
    command = ("push", "--broker", broker.url, "--device", "pi-7", "echo", EVIL)
    with HostileBoard(broker.url) as board:
        board.behaviour = lambda job: job.inputs
        assert waspi(*command, home=tmp_path).out == EVIL.encode()
        ended, shown = on_terminal(*command, home=tmp_path)
    assert ended == 0
    check(shown)
    assert PLANTED in shown


@pytest.mark.parametrize("name", ["abort", "function_name", "import"])
def test_a_modules_names_and_words_command_nothing(tmp_path: Path, name: str) -> None:
    module = str(GUESTS / f"{name}_control_characters.wasm")
    for command in (("inspect", module), ("inspect", module, "--json"), ("run", module, "x")):
        _, shown = on_terminal(*command, home=tmp_path)
        check(shown)


def test_a_guests_log_and_output_command_nothing(tmp_path: Path) -> None:
    module = guest.write(tmp_path, guest.APPEND)
    for options in ((), ("--json",), ("--trace",)):
        ended, shown = on_terminal("run", module, EVIL, *options, home=tmp_path)
        assert ended == 0
        check(shown)
        assert PLANTED in shown


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"agent"}))
def test_no_command_repeats_control_characters_of_its_arguments(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for arguments in ([command, EVIL], [command, f"--{EVIL}"], [command, EVIL, EVIL, "--broker", EVIL]):
        assert main(arguments) != 0
        out, err = capfd.readouterr()
        check(out + err)
        assert err
