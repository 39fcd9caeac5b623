"""The operator's commands as a user calls them, with a real broker and a simulated fleet."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.guest import APPEND, NO_ALLOC, SUFFIX, UNKNOWN_IMPORT
from tests.integration.updates.operator_shell import OperatorShell
from tests.simulators.fleet_member import FleetMember
from tests.simulators.fleet_room import FleetRoom
from tests.simulators.mosquitto import Mosquitto
from waspi.model.module_state import ModuleState
from waspi.protocol.wanted import bucket

DEFAULTS = ("--group", "kitchen", "--soak", "0.2s", "--look", "0.1s", "--json")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[OperatorShell]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield OperatorShell(tmp_path, broker.url)


def test_from_a_module_to_a_deployment_that_devices_can_read(shell: OperatorShell) -> None:
    shell.init()
    module = shell.module()
    golden = shell.base / "golden.toml"
    limits = shell.base / "limits.toml"
    limits.write_text("fuel = 100000\n")
    shell.run("golden", "record", str(module), "The input string", "", "zwölf\n", "--out", str(golden))
    added = shell.run(
        *("repo", "add", str(module), "--name", "append", "--version", "1.0.0", "--json"),
        *("--golden", str(golden), "--limits", str(limits)),
    )
    assert json.loads(added.text)["release"] == "append@1.0.0"
    deployed = shell.run("repo", "deploy", "append@1.0.0", "--group", "kitchen", "--stage", "10%")
    assert "not published yet" in deployed.err
    assert shell.status()["unpublished"] == ["add modules/append/1.0.0.wasm", "deploy to kitchen, serial 1"]
    shell.run("repo", "publish")
    client = shell.client()
    assert client.deployment("kitchen").entries[0].stage == 10
    release, wasm = client.release("append", "1.0.0")
    assert [pair.input for pair in release.golden] == [b"The input string", b"", "zwölf\n".encode()]
    assert release.golden[0].output == f"The input string{SUFFIX}".encode()
    assert release.limits.fuel == 100_000
    assert wasm.startswith(b"\0asm")
    assert "append@1.0.0" in shell.run("repo", "status").text


def test_golden_pairs_of_another_entry_are_recorded_and_checked(shell: OperatorShell) -> None:
    shell.init()
    upper = APPEND.replace(
        '(func (export "trap")', '(func (export "same") (param i32 i32) (result i32) local.get 1) (func (export "trap")'
    )
    module, golden = shell.module("two.wat", upper), str(shell.base / "golden.toml")
    shell.run("golden", "record", str(module), "abc", "", "--entry", "same", "--out", golden)
    checked = shell.run("golden", "check", str(module), golden, "--entry", "same")
    assert checked.text.splitlines() == ["pair 1 of 2 gives its output", "pair 2 of 2 gives its output"]
    other = shell.run("golden", "check", str(module), golden, "--json", code=1).document
    assert isinstance(other, dict)
    assert other["failed"] == 2
    assert "gave 'abc<---- This is your string' instead of 'abc'" in other["pairs"][0]["error"]
    assert "ended with" in shell.run("golden", "check", str(module), golden, "--entry", "trap", code=1).text
    none = shell.run("golden", "check", str(module), golden, "--entry", "none", code=1)
    assert "exports no entry function" in none.error_line
    add = ("repo", "add", str(module), "--name", "same", "--version", "1.0.0", "--golden", golden)
    shell.run(*add, code=1)
    shell.run(*add, "--entry", "same")
    shell.run("repo", "deploy", "same@1.0.0", "--group", "kitchen")
    shell.run("repo", "publish")
    assert shell.client().release("same", "1.0.0")[0].abi.entry == "same"


def test_every_repository_command_has_a_document_for_scripts(shell: OperatorShell) -> None:
    def said(*arguments: str) -> dict[str, object]:
        document = shell.run("repo", *arguments, "--json").document
        assert isinstance(document, dict)
        return document

    made = said("init", str(shell.folder), "--root-keys", "3", "--threshold", "2")
    assert made["root"] == str(shell.folder / "metadata" / "1.root.json")
    keys = Path(str(made["keys"]))
    assert sorted(each.name for each in keys.glob("root-*.key")) == ["root-1.key", "root-2.key", "root-3.key"]
    for version in ("1.0.0", "1.1.0"):
        shell.add(version)
    entry = {"name": "append", "version": "1.1.0", "stage": 10.0, "devices": [], "base": "1.0.0"}
    said("deploy", "append@1.0.0", "--group", "kitchen")
    deployed = said("deploy", "append@1.1.0", "--group", "kitchen", "--stage", "10%", "--base", "1.0.0")
    assert (deployed["group"], deployed["entries"]) == ("kitchen", [entry])
    assert said("undeploy", "append", "--group", "kitchen")["entries"] == []
    assert said("remove", "append@1.1.0") == {"removed": "append@1.1.0"}
    said("publish")
    aside = shell.base / "aside"
    aside.mkdir()
    for name in ("root-2.key", "root-3.key"):
        (keys / name).rename(aside / name)
    assert said("rotate", "--role", "timestamp") == {"root": 2, "missing_signatures": 1}
    assert said("sign", "--key", str(aside / "root-2.key")) == {"root": 2, "missing_signatures": 0}


@pytest.mark.parametrize(
    ("module", "golden", "says"),
    [
        (UNKNOWN_IMPORT, None, "launch_missiles"),
        (NO_ALLOC, None, "alloc"),
        ("(module", None, "waspi: guest:"),
        (APPEND, '[[golden]]\ninput = "a"\noutput = "b"\n', "gave 'a<---- This is your string' instead of 'b'"),
    ],
)
def test_what_a_device_would_refuse_is_not_added(
    shell: OperatorShell, module: str, golden: str | None, says: str
) -> None:
    shell.init()
    arguments = ["repo", "add", str(shell.module(text=module)), "--name", "append", "--version", "1.0.0"]
    if golden is not None:
        (shell.base / "golden.toml").write_text(golden)
        arguments += ["--golden", str(shell.base / "golden.toml")]
    assert says in shell.run(*arguments, code=1).error_line
    assert shell.status()["releases"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("repo", "deploy", "append", "--group", "kitchen"), "write NAME@VERSION"),
        (("repo", "deploy", "append@9", "--group", "kitchen"), "no release append@9"),
        (("repo", "deploy", "append@9", "--group", "kitchen", "--stage", "much"), "no percentage"),
        (("repo", "rotate", "--role", "root"), "name one of root-1, root-2, root-3"),
        (("repo", "status", "--repo", "/nowhere"), "no update repository"),
        (("rollout", "append@9", "--group", "kitchen", "--soak", "soon"), "no duration"),
        (("rollout", "append@9", "--group", "kitchen"), "no device reports to be in group kitchen"),
        (("rollout", "append@9", "--group", "kitchen", "--stages", "50%,10%"), "stages must rise"),
        (("rollout", "append@9", "--group", "kitchen", "--abort"), "no rollout of append to kitchen"),
        (("depot", "--repo", "/nowhere"), "cannot read the repository"),
        (("golden", "record", "append.wasm"), "no input"),
        (("fleet", "--label", "=x"), "no label"),
    ],
)
def test_wrong_use_is_named(shell: OperatorShell, arguments: tuple[str, ...], says: str) -> None:
    shell.init()
    assert says in shell.run(*arguments, code=2).error_line


def test_a_rollout_killed_in_the_middle_goes_on(shell: OperatorShell) -> None:
    shell.init()
    shell.ship("1.0.0")
    shell.add("2.0.0")
    members = [FleetMember(f"pi-{number}") for number in range(60)]
    with FleetRoom(shell.broker, members, shell.client()) as room:
        command = ("rollout", "append@2.0.0", *DEFAULTS, "--stages", "10%,50%,100%")
        first = shell.start(*command)
        assert first.stdout is not None
        for line in first.stdout:
            if json.loads(line)["stage"] == "50%":
                break
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=120)
        second = shell.run(*command)
        looks = [json.loads(line) for line in second.text.splitlines()]
        assert looks[0]["stage"] == "50%"
        assert looks[-1]["phase"] == "DONE"
        assert looks[-1]["devices"]["active"] == 60
        assert room.running("append") == {"2.0.0": 60}


def test_what_a_stage_takes_in_is_printed_before_it_begins_and_calling_it_off_is_no_failure(
    shell: OperatorShell,
) -> None:
    shell.init()
    shell.ship("1.0.0")
    shell.add("2.0.0")
    options = ("--group", "kitchen", "--soak", "10m", "--look", "0.1s")
    members = [FleetMember(f"pi-{number}") for number in range(3)]
    with FleetRoom(shell.broker, members, shell.client()) as room:
        stranger = shell.run("rollout", "append@2.0.0", *options, "--canary", "pi-1,pi-9", code=2)
        assert "no device pi-9 reports to be in group kitchen; nothing was published" in stranger.error_line
        command = ("rollout", "append@2.0.0", *options, "--canary", "pi-1", "--stages", "10%,50%,100%")
        first = shell.start(*command)
        assert first.stdout is not None
        begins = first.stdout.readline().decode()
        assert begins.startswith(
            "append@2.0.0 stage 1 of 4 (pi-1) DEPLOYING: 1 of 3 devices that are online; new: pi-1"
        )
        for line in first.stdout:
            if b"SOAKING" in line:
                break
        assert room.running("append") == {"1.0.0": 2, "2.0.0": 1}
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=120)
        done = shell.run("rollout", "append@2.0.0", *options, "--abort")
        assert "the rollout of append@2.0.0 to kitchen is called off, as you asked" in done.err
        assert room.running("append") == {"1.0.0": 3}


def test_two_hundred_devices_with_five_per_cent_of_bad_boards(shell: OperatorShell) -> None:
    shell.init()
    shell.ship("1.0.0")
    shell.add("2.0.0")
    numbers = range(200)
    # Five per cent, all of them in the stage of 50 per cent, so that the abort does not hang on the draw.
    early = sorted(numbers, key=lambda number: bucket(f"pi-{number}", "append@2.0.0"))[:100]
    bad = set(early[::10][:10])
    assert len(bad) == 10
    members = [
        FleetMember(f"pi-{number}", bad={"2.0.0": ModuleState.COMPILED} if number in bad else {}) for number in numbers
    ]
    with FleetRoom(shell.broker, members, shell.client()) as room:
        done = shell.run("rollout", "append@2.0.0", *DEFAULTS, "--max-failed", "2%", code=1)
        looks = [json.loads(line) for line in done.text.splitlines()]
        assert looks[-1]["phase"] == "ABORTED"
        assert "cannot leave COMPILED on this board" in looks[-1]["reason"]
        assert room.running("append") == {"1.0.0": 200}
        assert max(look["serving"] for look in looks) < 200 * 0.6
        assert "was taken back from kitchen: failed on" in done.err
        table = shell.run("fleet", "--module", "append@2.0.0", "--json")
        states = {
            module["state"] for line in table.text.splitlines() for module in json.loads(line)["reported"]["modules"]
        }
        assert states <= {"ACTIVE", "RETIRED", "FAILED", "ROLLED_BACK"}
        assert "200 of 200 devices, 200 online" in shell.run("fleet").err


def test_the_fleet_is_filtered(shell: OperatorShell) -> None:
    shell.init()
    shell.ship("1.0.0")
    members = [FleetMember("pi-1"), FleetMember("pi-2", groups=("kitchen", "attic")), FleetMember("pi-3", online=False)]
    with FleetRoom(shell.broker, members, shell.client()):

        def ids(*arguments: str) -> list[str]:
            return [json.loads(line)["device"] for line in shell.run("fleet", "--json", *arguments).text.splitlines()]

        assert ids() == ["pi-1", "pi-2", "pi-3"]
        assert ids("--group", "attic") == ["pi-2"]
        assert ids("--offline") == ["pi-3"]
        assert ids("--online", "--group", "kitchen") == ["pi-1", "pi-2"]
        assert ids("--label", "floor") == []
        shown = shell.run("fleet").text
        assert "append@1.0.0" in shown
        assert "simulated 1.0" in shown


def test_a_depot_in_a_process_of_its_own(shell: OperatorShell) -> None:
    shell.init()
    shell.ship("1.0.0")
    depot = shell.start("depot", "--rate-mib", "4")
    assert depot.stderr is not None
    assert b"serving timestamp 2" in depot.stderr.readline()
    assert b"announcing timestamp 2" in depot.stderr.readline()
    shell.run("repo", "publish")
    assert b"announcing timestamp 3" in depot.stderr.readline()
    depot.terminate()
    _, rest = depot.communicate(timeout=120)
    assert depot.returncode == 0, rest
    assert b"0 ranges" in rest
