"""`waspi broker config` makes a broker that mosquitto really starts with, and that keeps its promises."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cli.command import Finished, waspi
from tests.simulators.mosquitto import Mosquitto, free_port, wait_until_listening
from waspi.cli.doctor.broker import DELAYED_S
from waspi.errors import BrokerError, NoAnswerError
from waspi.fleet import Client
from waspi.fleet.authority import Authority
from waspi.fleet.echo import Echo
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls

LONG_S = 60.0
"""For what has to come: nobody waits for it, and a busy machine may be slow."""


class MadeBroker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "made"
        self.home = folder
        self.device_port, self.operator_port = free_port(), free_port()
        self.made = self.make("pi-1,pi-2")

    def make(self, devices: str) -> Finished:
        ports = ["--port", str(self.device_port), "--operator-port", str(self.operator_port)]
        where = ["--dir", str(self.folder), "--host", "127.0.0.1", "--bind", "127.0.0.1", "--run-as", "root"]
        return waspi(
            "broker", "config", *where, *ports, "--devices", devices, "--group", "attic", "--json", home=self.home
        )

    def tls(self, member: str) -> Tls:
        return Tls(self.folder / "ca.crt", self.folder / f"{member}.crt", self.folder / f"{member}.key")

    def files(self, member: str) -> list[str]:
        tls = self.tls(member)
        return ["--ca", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key)]

    def echo(self, member: str, port: int) -> Echo:
        return Echo(BrokerAddress("127.0.0.1", port, tls=True), tls=self.tls(member))

    @contextmanager
    def running(self) -> Iterator[None]:
        log = self.folder / "mosquitto.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(["mosquitto", "-c", str(self.folder / "mosquitto.conf")], stderr=stderr)
        try:
            for port in (self.device_port, self.operator_port):
                wait_until_listening(process, port, log.read_text)
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def made(tmp_path: Path) -> MadeBroker:
    return MadeBroker(tmp_path)


def test_mosquitto_starts_with_it_and_lets_the_right_ones_in(made: MadeBroker) -> None:
    assert made.made.code == 0, made.made.err
    assert made.made.document["new"] == ["ops", "pi-1", "pi-2"]
    drop_in = (made.folder / "service.conf").read_text()
    assert drop_in == f"[Service]\nExecStart=\nExecStart=/usr/sbin/mosquitto -c {made.folder}/mosquitto.conf\n"
    root = "waspi/v1/default"
    with made.running(), made.echo("operators/ops", made.operator_port) as operator:
        assert operator.comes_back("reply/ops/x", timeout_s=LONG_S) is not None
        assert operator.server.max_packet_bytes == 8192 * 1024
        with made.echo("devices/pi-1", made.device_port) as device:
            for topic in ("job", "cancel/j1", "run/append", "sync-query"):
                assert device.reflect(f"{root}/device/pi-1/{topic}", f"{root}/device/pi-1/result/j1")
                result = f"{root}/device/pi-1/result/j1"
                heard = operator.comes_back(f"{root}/device/pi-1/{topic}", on=result, timeout_s=LONG_S)
                assert heard is not None, topic
            device.reflect(f"{root}/group/attic/job", "reply/ops/pi-1")
            device.reflect(f"{root}/group/cellar/job", "reply/ops/pi-1")
            heard = operator.comes_back(f"{root}/group/attic/job", on="reply/ops/pi-1", timeout_s=LONG_S)
            assert heard is not None
            # A group that it is not in is none of its business.
            assert operator.comes_back(f"{root}/group/cellar/job", on="reply/ops/pi-1", timeout_s=0.5) is None
            # A device neither hears nor speaks for another, nor gives orders.
            device.reflect(f"{root}/device/pi-2/job", "reply/ops/pi-1")
            assert operator.comes_back(f"{root}/device/pi-2/job", on="reply/ops/pi-1", timeout_s=0.5) is None
            operator.subscribe(f"{root}/device/pi-2/presence")
            assert device.comes_back(f"{root}/device/pi-2/presence", timeout_s=0.5) is None
            assert device.comes_back(f"{root}/device/pi-1/job", timeout_s=0.5) is None


def test_device_gets_in_by_its_own_door_only(made: MadeBroker) -> None:
    with made.running():
        with pytest.raises(BrokerError, match=r"pi-1\.crt"), made.echo("devices/pi-1", made.operator_port):
            pass
        with pytest.raises(BrokerError), Echo(BrokerAddress("127.0.0.1", made.device_port, tls=False)):
            pass
        anonymous = Echo(BrokerAddress("127.0.0.1", made.device_port, tls=True), tls=Tls(ca=made.folder / "ca.crt"))
        with pytest.raises(BrokerError, match="client certificate"), anonymous:
            pass


def test_expired_certificate_is_named(made: MadeBroker, tmp_path: Path) -> None:
    authority = Authority(made.folder, "operators-ca")
    old = made.folder / "operators" / "old.crt"
    authority.issue_client(old, old.with_suffix(".key"), "old", days=-1)
    with made.running():
        done = waspi(
            *["watch", "--once", "--broker", f"mqtts://127.0.0.1:{made.operator_port}"],
            *made.files("operators/old"),
            home=tmp_path,
        )
    assert done.code == 3
    assert done.error_line.startswith("waspi: broker: ")
    assert "old.crt" in done.error_line


def test_expired_broker_certificate_is_named(made: MadeBroker, tmp_path: Path) -> None:
    files = (made.folder / "server.crt", made.folder / "server.key")
    for file in files:
        file.unlink()
    Authority(made.folder, "ca").issue_server(*files, ["127.0.0.1"], days=-1)
    with made.running():
        url = f"mqtts://127.0.0.1:{made.operator_port}"
        done = waspi("watch", "--once", "--broker", url, *made.files("operators/ops"), home=tmp_path)
    assert done.code == 3
    assert "certificate" in done.error_line
    assert "expired" in done.error_line
    assert "this machine's clock says 20" in done.error_line


def test_again_adds_a_device_and_keeps_the_others(made: MadeBroker) -> None:
    before = {path: path.read_bytes() for path in made.folder.rglob("*.crt")}
    assert made.make("pi-3").document["new"] == ["pi-3"]
    assert {path: path.read_bytes() for path in before} == before
    acl = (made.folder / "acl").read_text()
    assert all(f"user {name}\n" in acl for name in ("pi-1", "pi-2", "pi-3", "operator:ops"))
    assert (made.folder / "devices" / "pi-3.key").stat().st_mode & 0o077 == 0


def test_again_without_the_options_is_the_same_broker(made: MadeBroker) -> None:
    written = (made.folder / "mosquitto.conf").read_text()
    certificate = (made.folder / "server.crt").read_bytes()
    again = waspi("broker", "config", "--dir", str(made.folder), "--devices", "pi-3", home=made.home)
    assert again.code == 0, again.err
    assert (made.folder / "mosquitto.conf").read_text() == written
    assert (made.folder / "server.crt").read_bytes() == certificate
    assert f"waspi doctor --broker mqtts://127.0.0.1:{made.operator_port} --ca {made.folder}/ca.crt" in again.err
    moved = waspi("broker", "config", "--dir", str(made.folder), "--port", str(made.operator_port), home=made.home)
    assert (moved.code, "a port each" in moved.error_line) == (2, True)
    (made.folder / "plan.json").write_text('{"fleet": 5}')
    damaged = waspi("broker", "config", "--dir", str(made.folder), "--devices", "pi-4", home=made.home)
    assert (damaged.code, "plan.json" in damaged.error_line) == (2, True)


def test_authority_whose_key_is_elsewhere_is_not_made_anew(made: MadeBroker, tmp_path: Path) -> None:
    authorities = {path: path.read_bytes() for path in made.folder.glob("*ca.crt")}
    assert len(authorities) == 3
    for path in authorities:
        path.with_suffix(".key").rename(tmp_path / f"{path.stem}.key")
    same = made.make("pi-1")
    assert (same.code, same.document["new"]) == (0, [])
    refused = made.make("pi-3")
    assert (refused.code, "devices-ca.key is not here" in refused.error_line) == (2, True)
    (tmp_path / "devices-ca.key").rename(made.folder / "devices-ca.key")
    assert made.make("pi-3").document["new"] == ["pi-3"]
    assert {path: path.read_bytes() for path in authorities} == authorities


def test_a_certificate_that_ends_soon_is_replaced(made: MadeBroker) -> None:
    old, later = made.folder / "devices" / "old.crt", made.folder / "devices" / "pi-1.crt"
    Authority(made.folder, "devices-ca").issue_client(old, old.with_suffix(".key"), "old", days=20)
    before = later.read_bytes()
    assert made.make("old,pi-1").document["new"] == ["old"]
    assert later.read_bytes() == before


def test_doctor_finds_it_in_order(made: MadeBroker, tmp_path: Path) -> None:
    url = f"mqtts://127.0.0.1:{made.operator_port}"
    with made.running():
        done = waspi("doctor", "--json", "--broker", url, *made.files("operators/ops"), home=tmp_path)
    findings = [each for each in done.document["findings"] if each["area"] == "broker"]
    assert {each["what"] for each in findings} >= {"reachable", "round trip", "limits", "access list", "anonymous"}
    # A busy machine may take its time for a round trip.
    assert {each["level"] for each in findings if each["what"] != "round trip"} == {"ok"}, findings


def test_doctor_with_a_device_configuration_does_not_end_its_session(made: MadeBroker, tmp_path: Path) -> None:
    config = made.folder / "device.toml"
    config.write_text(
        f'[device]\nid = "pi-1"\nstate_dir = "{tmp_path}"\n'
        f'[broker]\nurl = "mqtts://127.0.0.1:{made.device_port}"\n'
        '[broker.tls]\nca = "ca.crt"\ncertificate = "devices/pi-1.crt"\nkey = "devices/pi-1.key"\n'
    )
    with made.running(), made.echo("devices/pi-1", made.device_port) as agent:
        done = waspi("doctor", "--config", str(config), "--json", home=tmp_path)
        # Its session lives on: it would be gone if the doctor had logged in as pi-1.
        assert agent.alive
    reachable = [each for each in done.document["findings"] if each["what"] == "reachable"]
    assert [each["level"] for each in reachable] == ["ok"]


def test_doctor_sees_an_open_broker_without_nodelay(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "open")
    config = tmp_path / "open" / "mosquitto.conf"
    config.write_text(config.read_text().replace("set_tcp_nodelay true\n", ""))
    with broker:
        done = waspi("doctor", "--json", "--broker", broker.url, home=tmp_path)
    found = {each["what"]: each for each in done.document["findings"]}
    assert done.code == 3
    assert (found["access list"]["level"], found["anonymous"]["level"]) == ("fail", "warn")
    # Whether acknowledgements are delayed, and so whether it shows, is up to the kernel.
    slow = float(found["round trip"]["found"].removesuffix(" ms")) >= DELAYED_S * 1000
    assert found["round trip"]["level"] == ("warn" if slow else "ok")


def test_operator_client_works_through_it(made: MadeBroker) -> None:
    with made.running():
        url = f"mqtts://127.0.0.1:{made.operator_port}"
        with (
            Client(url, tls=made.tls("operators/ops")) as fleet,
            pytest.raises(NoAnswerError, match="never announced"),
        ):
            fleet.run("pi-1", "append", b"", timeout=0.3)
