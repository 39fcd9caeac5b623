"""Boards come and go: `waspi device` against a mosquitto with mutual TLS, access list and revocation list."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.cli.command import Finished, waspi
from tests.integration.cli.test_broker_setup import LONG_S, MadeBroker
from tests.simulators.mosquitto import Mosquitto
from waspi.device.config import load
from waspi.errors import BrokerError
from waspi.fleet.authority import Authority
from waspi.fleet.echo import Echo
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls

ROOT = "waspi/v1/default"
UMASK_0 = ("sh", "-c", 'umask 0; exec "$@"', "sh")


@pytest.fixture
def made(tmp_path: Path) -> MadeBroker:
    return MadeBroker(tmp_path)


def device(made: MadeBroker, *arguments: str) -> Finished:
    return waspi("device", *arguments, "--dir", str(made.folder), home=made.home)


def unpack(made: MadeBroker, name: str) -> Path:
    board = made.home / f"board-{name}"
    board.mkdir(exist_ok=True)
    archive = made.folder / "devices" / f"{name}.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "-C", board], check=True)  # as the command says
    return board


def board_echo(made: MadeBroker, board: Path) -> Echo:
    """A client with what the archive brought, as the agent would be."""
    broker = load(board / "waspi.toml").broker
    assert broker.address == BrokerAddress("127.0.0.1", made.device_port, tls=True)
    return Echo(broker.address, tls=broker.tls)


def refused(made: MadeBroker, tls: Tls) -> bool:
    """Whether the broker refuses a device with these files."""
    try:
        with Echo(BrokerAddress("127.0.0.1", made.device_port, tls=True), tls=tls):
            return False
    except BrokerError:
        return True


def test_a_board_is_added_to_a_broker_that_runs(made: MadeBroker) -> None:
    waspi("keys", "new", "ops", home=made.home)
    with made.running(), made.echo("operators/ops", made.operator_port) as operator:
        done = device(made, "add", "pi-7", "--group", "kitchen", "--trust", "ops")
        assert done.code == 0, done.err
        assert done.text == f"{made.folder}/devices/pi-7.tar.gz\n"
        assert "reload" not in done.err  # it was told
        assert "sudo tar -xzf pi-7.tar.gz -C /etc/waspi" in done.err
        assert (made.folder / "devices" / "pi-7.tar.gz").stat().st_mode & 0o777 == 0o600
        board = unpack(made, "pi-7")
        assert (board / "credentials" / "pi-7.key").stat().st_mode & 0o777 == 0o600
        config = load(board / "waspi.toml")
        assert (config.id, config.groups, config.policy.jobs) == ("pi-7", ("kitchen",), "signed")
        assert [key.kid for key in config.policy.keys] == ["ops"]
        with board_echo(made, board) as agent:
            agent.reflect(f"{ROOT}/group/kitchen/job", "reply/ops/pi-7")
            heard = operator.comes_back(f"{ROOT}/group/kitchen/job", on="reply/ops/pi-7", timeout_s=LONG_S)
            assert heard is not None
        again = device(made, "add", "pi-7")
        assert (again.code, "waspi device renew pi-7" in again.error_line) == (2, True)


def test_a_board_that_is_removed_has_no_session_no_certificate_and_leaves_nothing_behind(made: MadeBroker) -> None:
    device(made, "add", "pi-7")
    board = unpack(made, "pi-7")
    presence = f"{ROOT}/device/pi-7/presence"
    with made.running(), made.echo("operators/ops", made.operator_port) as operator:
        retain(made, board, presence, '{"state":"online"}')
        assert retained(made, presence) == '{"state":"online"}'
        with board_echo(made, board) as agent:
            done = device(made, "remove", "pi-7", "--json")
            assert (done.code, done.document) == (0, {"removed": "pi-7"}), done.err
            operator.comes_back("reply/ops/x", timeout_s=LONG_S)  # by now the agent has heard of it, too
            assert not agent.alive
        assert retained(made, presence) == ""
        assert refused(made, load(board / "waspi.toml").broker.tls)
        assert [each["id"] for each in device(made, "list", "--json").document] == ["pi-1", "pi-2"]
        gone = device(made, "remove", "pi-7")
        assert (gone.code, "known: pi-1, pi-2" in gone.error_line) == (2, True)
        # The others never noticed, and it may come back with a new certificate.
        assert not refused(made, made.tls("devices/pi-1"))
        assert device(made, "add", "pi-7").code == 0
        assert not refused(made, load(unpack(made, "pi-7") / "waspi.toml").broker.tls)


def test_a_board_can_be_removed_while_the_broker_is_away_and_the_rest_is_done_later(made: MadeBroker) -> None:
    device(made, "add", "pi-7", "--group", "kitchen")
    board = unpack(made, "pi-7")
    away = device(made, "remove", "pi-7")
    assert away.code == 3
    assert "pi-7 is out of the lists, but its session lives on" in away.error_line
    assert "user pi-7\n" not in (made.folder / "acl").read_text()
    with made.running():
        assert refused(made, load(board / "waspi.toml").broker.tls)
        assert device(made, "remove", "pi-7").code == 0
        assert device(made, "remove", "pi-7").code == 2


def test_renewed_certificates_and_what_becomes_of_the_old_ones(made: MadeBroker) -> None:
    device(made, "add", "pi-7", "--group", "kitchen")
    first = load(unpack(made, "pi-7").rename(made.home / "first") / "waspi.toml").broker.tls
    with made.running():
        assert device(made, "renew", "pi-7").code == 0
        second = load(unpack(made, "pi-7").rename(made.home / "second") / "waspi.toml").broker.tls
        assert (refused(made, first), refused(made, second)) == (False, False)
        assert device(made, "renew", "pi-7", "--revoke", "--group", "attic").code == 0
        third = load(unpack(made, "pi-7") / "waspi.toml").broker.tls
        assert (refused(made, first), refused(made, second), refused(made, third)) == (True, True, False)
        assert load(made.home / "board-pi-7" / "waspi.toml").groups == ("attic",)
        device(made, "renew", "pi-7")
        assert device(made, "remove", "pi-7").code == 0
        assert refused(made, third)


def test_the_list_says_when_certificates_end(made: MadeBroker) -> None:
    for name, days in (("pi-8", 20), ("pi-9", -1)):
        certificate = made.folder / "devices" / f"{name}.crt"
        Authority(made.folder, "devices-ca").issue_client(certificate, certificate.with_suffix(".key"), name, days)
    (made.folder / "devices" / "pi-2.key").unlink()
    rows = {row["id"]: row for row in device(made, "list", "--json").document}
    assert {name: row["state"] for name, row in rows.items()} == {
        "pi-1": "good",
        "pi-2": "good",
        "pi-8": "soon",
        "pi-9": "ended",
    }
    assert (rows["pi-1"]["groups"], rows["pi-1"]["key_here"], rows["pi-2"]["key_here"]) == (["attic"], True, False)
    end = datetime.fromisoformat(rows["pi-1"]["expires"]) - datetime.now(UTC)
    assert timedelta(days=823) < end < timedelta(days=826)
    lines = device(made, "list").text.splitlines()
    assert lines[0].startswith("pi-1 ")
    assert lines[-1].endswith("has ended: waspi device renew")


def test_nobody_gets_the_rights_of_another_kind_by_name(made: MadeBroker) -> None:
    same = device(made, "add", "ops")
    assert (same.code, "ops is among the operators already" in same.error_line) == (2, True)
    other = waspi("broker", "config", "--dir", str(made.folder), "--operators", "pi-1", home=made.home)
    assert (other.code, "pi-1 is among the devices already" in other.error_line) == (2, True)
    # And if the authority of devices vouched for one called so, it would still be a device called ops.
    posing = made.folder / "devices" / "ops.crt"
    Authority(made.folder, "devices-ca").issue_client(posing, posing.with_suffix(".key"), "ops", 30)
    with made.running(), made.echo("devices/ops", made.device_port) as device_ops:
        with made.echo("devices/pi-1", made.device_port) as pi:
            pi.reflect(f"{ROOT}/device/pi-1/job", f"{ROOT}/device/pi-1/result/j1")
            device_ops.subscribe(f"{ROOT}/device/pi-1/result/j1")
            heard = device_ops.comes_back(f"{ROOT}/device/pi-1/job", on=f"{ROOT}/device/pi-1/result/j1", timeout_s=0.5)
        assert heard is None


def test_an_operator_who_leaves_can_do_nothing_any_more(made: MadeBroker) -> None:
    where = ["--dir", str(made.folder)]
    assert waspi("broker", "config", *where, "--operators", "ops,alice", home=made.home).code == 0
    for name in ("alice.crt", "alice.key"):
        (made.home / name).write_bytes((made.folder / "operators" / name).read_bytes())
    tls = Tls(made.folder / "ca.crt", made.home / "alice.crt", made.home / "alice.key")
    door = BrokerAddress("127.0.0.1", made.operator_port, tls=True)
    with made.running(), Echo(door, tls=tls) as alice:
        assert alice.comes_back("reply/alice/x", timeout_s=LONG_S) is not None
        done = waspi("broker", "revoke-operator", "alice", *where, home=made.home)
        assert (done.code, done.text) == (0, "alice: certificate revoked, the broker told\n"), done.err
        with made.echo("operators/ops", made.operator_port) as ops:
            assert ops.comes_back("reply/ops/x", timeout_s=LONG_S) is not None
        assert alice.comes_back("reply/alice/x", timeout_s=0.5) is None
        with pytest.raises(BrokerError), Echo(door, tls=tls):
            pass
    again = waspi("broker", "revoke-operator", "alice", *where, home=made.home)
    assert (again.code, "known: ops" in again.error_line) == (2, True)


def test_modes_are_set_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "broker"
    where = ["--dir", str(folder), "--host", "127.0.0.1", "--run-as", "root"]
    done = waspi("broker", "config", *where, "--devices", "pi-1", home=tmp_path, within=UMASK_0)
    assert done.code == 0, done.err
    keys = tmp_path / "new" / "keys"
    assert waspi("keys", "new", "ops", "--dir", str(keys), home=tmp_path, within=UMASK_0).code == 0
    assert device_add(folder, tmp_path).code == 0
    service = ["install-service", "--root", str(tmp_path / "new" / "root")]
    assert waspi(*service, home=tmp_path, within=UMASK_0).code == 0
    profile = ["profile", "add", "home", "--broker", "mqtt://x"]
    assert waspi(*profile, home=tmp_path / "new" / "home", within=UMASK_0).code == 0
    for path in (tmp_path / "new").rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode & 0o022 == 0, f"{path}: {mode:o}"
        secret = path.suffix in {".key", ".gz"} or path.name == "acl"
        assert not (secret and mode & 0o077), f"{path}: {mode:o}"


def test_an_authority_whose_key_is_elsewhere_is_named(made: MadeBroker) -> None:
    (made.folder / "devices-ca.key").rename(made.home / "devices-ca.key")
    for arguments in (("add", "pi-7"), ("remove", "pi-1"), ("renew", "pi-1")):
        done = device(made, *arguments)
        assert (done.code, "devices-ca.key is not here; bring it back" in done.error_line) == (2, True)
    assert [each["id"] for each in device(made, "list", "--json").document] == ["pi-1", "pi-2"]
    nowhere = waspi("device", "list", "--dir", str(made.home / "nowhere"), home=made.home)
    assert (nowhere.code, "waspi broker config --dir" in nowhere.error_line) == (2, True)


def device_add(folder: Path, home: Path) -> Finished:
    return waspi("device", "add", "pi-2", "--dir", str(folder), home=home, within=UMASK_0)


def client(made: MadeBroker, program: str, tls: Tls, port: int, *arguments: str) -> str:
    files = ["--cafile", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key)]
    return Mosquitto.client(program, "-p", str(port), *files, *arguments)


def retain(made: MadeBroker, board: Path, topic: str, message: str) -> None:
    tls = load(board / "waspi.toml").broker.tls
    client(made, "mosquitto_pub", tls, made.device_port, "-q", "1", "-r", "-t", topic, "-m", message)


def retained(made: MadeBroker, topic: str) -> str:
    """The retained message on a topic, empty where there is none: then that of a topic asked for after it is first."""
    tls = made.tls("operators/ops")
    other = ["-t", "reply/ops/other"]
    client(made, "mosquitto_pub", tls, made.operator_port, "-q", "1", "-r", *other, "-m", "there is none")
    first = client(made, "mosquitto_sub", tls, made.operator_port, "-C", "1", "-t", topic, *other).removesuffix("\n")
    return "" if first == "there is none" else first
