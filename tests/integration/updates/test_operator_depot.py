"""The depot with a real broker: what devices ask for, what attackers ask for, and what happens when things break."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.updates.operator_shell import OperatorShell
from tests.simulators.link_owner import LinkOwner
from tests.simulators.mosquitto import Mosquitto
from tests.simulators.repository_site import Site
from waspi.errors import RepositoryError, UnreachableBrokerError
from waspi.fleet.depot import service
from waspi.fleet.depot.service import Depot, host_depot
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Outgoing
from waspi.protocol import cbor
from waspi.protocol.depot import (
    ZLIB,
    RangeChunk,
    RangeRequest,
    RefusalKind,
    decode_range_chunk,
    decode_timestamp_notice,
    encode_range_request,
)
from waspi.protocol.repository_path import target_path
from waspi.protocol.topics import Topics

TOPICS = Topics("default")
STEP = 48 * 1024


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def shell(tmp_path: Path, broker: Mosquitto) -> OperatorShell:
    return OperatorShell(tmp_path, broker.url)


def depot_of(site: Site, broker: Mosquitto, **options: object) -> Depot:
    return Depot(site.folder, BrokerAddress.parse(broker.url), **options)  # type: ignore[arg-type]


class Device(LinkOwner):
    """Asks for ranges and keeps the answers."""

    def __init__(self, url: str, name: str = "pi-1") -> None:
        self.name = name
        super().__init__(url, name, filters=TOPICS.updater_filters(name))
        self.connect()

    def ask(
        self,
        path: str,
        offset: int = 0,
        length: int = STEP,
        *,
        run: str = "run-1",
        accept: tuple[str, ...] = (),
        depot: str = "",
    ) -> None:
        request = RangeRequest(run, path, offset, length, accept)
        self.post(encode_range_request(request), depot)

    def post(self, payload: bytes, depot: str = "") -> None:
        self.until(lambda: self.link.room > 0)
        self.link.publish(Outgoing(TOPICS.depot_get(self.name, depot), payload))
        self.link.flush()

    @property
    def chunks(self) -> list[RangeChunk]:
        for message in self.messages:
            self.link.acknowledge(message)
        return [decode_range_chunk(each.payload) for each in self.messages if "/chunk/" in each.topic]

    def answers(self, count: int) -> list[RangeChunk]:
        self.until(lambda: len(self.chunks) >= count)
        return self.chunks

    def fetch(self, path: str, size: int, **options: object) -> bytes:
        before = len(self.chunks)
        offsets = range(0, size, STEP)
        for offset in offsets:
            self.ask(path, offset, **options)  # type: ignore[arg-type]
        got = self.answers(before + len(offsets))[before:]
        assert {chunk.total for chunk in got} == {size}
        return b"".join(chunk.data for chunk in sorted(got, key=lambda chunk: chunk.offset))


def big_module(site: Site) -> tuple[str, bytes]:
    data = random.Random(7).randbytes(700_000) + bytes(300_000)  # noqa: S311 - contents
    release = site.add(content=data)
    site.repository.deploy("kitchen", "append", "1.0.0")
    site.repository.publish()
    return target_path("modules/append/1.0.0.wasm", release.sha256), data


def test_a_file_arrives_whole_compressed_or_not(site: Site, broker: Mosquitto) -> None:
    path, data = big_module(site)
    with depot_of(site, broker) as depot:
        device = Device(broker.url)
        assert device.fetch(path, len(data)) == data
        plain = depot.counts.sent_bytes
        assert device.fetch(path, len(data), accept=(ZLIB, "zstd-in-some-future")) == data
        assert depot.counts.sent_bytes - plain < plain * 0.75
        assert hashlib.sha256(data).hexdigest() in path
        device.close()


def test_what_is_not_there_and_ranges_beyond_the_end(site: Site, broker: Mosquitto) -> None:
    big_module(site)
    with depot_of(site, broker):
        device = Device(broker.url)
        device.ask("metadata/2.root.json")
        device.ask("metadata/1.root.json", offset=60_000)
        kinds = [chunk.error.kind for chunk in device.answers(2) if chunk.error]
        assert kinds == [RefusalKind.NOT_FOUND, RefusalKind.BAD_RANGE]
        device.close()


def test_only_files_of_a_repository_are_served(site: Site, broker: Mosquitto) -> None:
    secret = site.folder / "targets" / "deployments" / f"{'0' * 64}.kitchen.json"
    big_module(site)
    secret.symlink_to(site.keys / "root-1.key")
    with depot_of(site, broker) as depot:
        device = Device(broker.url)
        paths = ["../keys/root-1.key", "metadata/../../keys/root-1.key", "/etc/passwd", "repository.json", "metadata/"]
        paths += ["metadata//timestamp.json", "targets/modules/a/../../../../etc/passwd", "metadata/1.root.json\0", ""]
        for path in paths:
            device.ask(path)
        for payload in (b"", b"\xff" * 100, b"{}", bytes(5000)):
            device.post(payload)
        device.ask(secret.relative_to(site.folder).as_posix())
        (answer,) = device.answers(1)
        assert answer.error is not None
        assert answer.error.kind is RefusalKind.UNREADABLE
        assert not answer.data
        assert depot.counts.dropped == len(paths) + 4
        device.close()


def announced(who: Device, depot: str) -> list[int]:
    """Versions that ``depot`` has announced so far; 0: that it is gone."""
    topic = TOPICS.depot_timestamp(depot)
    found = [each.payload for each in who.messages if each.topic == topic]
    return [decode_timestamp_notice(payload).version if payload else 0 for payload in found]


def test_each_depot_announces_itself_what_is_new_and_that_it_goes(site: Site, broker: Mosquitto) -> None:
    device = Device(broker.url)
    with depot_of(site, broker, depot="cellar"):
        with depot_of(site, broker, depot="attic"):
            device.until(lambda: announced(device, "cellar") == announced(device, "attic") == [1])
            site.ship("1.0.0")
            device.until(lambda: announced(device, "cellar") == announced(device, "attic") == [1, 2])
            late = Device(broker.url, "pi-2")
            late.until(lambda: announced(late, "cellar") == announced(late, "attic") == [2])
            assert late.messages[0].retain
            late.close()
        device.until(lambda: announced(device, "attic") == [1, 2, 0])
        assert announced(device, "cellar") == [1, 2]
        later = Device(broker.url, "pi-3")
        later.until(lambda: announced(later, "cellar") == [2])
        assert announced(later, "attic") == []
        later.close()
    device.close()


def test_the_will_of_a_depot_that_dies_says_that_it_is_gone(shell: OperatorShell) -> None:
    shell.init()
    device = Device(shell.broker)
    depot = shell.start("depot", "--id", "cellar")
    device.until(lambda: announced(device, "cellar") == [1], 30)
    depot.kill()
    depot.communicate()
    device.until(lambda: announced(device, "cellar") == [1, 0], 30)
    device.close()


def test_one_depot_is_asked_by_name_and_the_other_one_stays_quiet(site: Site, broker: Mosquitto) -> None:
    path, data = big_module(site)
    with depot_of(site, broker, depot="cellar") as one, depot_of(site, broker, depot="attic") as two:
        device = Device(broker.url)
        assert device.fetch(path, len(data), depot="cellar") == data
        assert {chunk.depot for chunk in device.chunks} == {"cellar"}
        assert two.counts.served == 0
        before = one.counts.served
        device.ask(path)  # of whoever is there
        got = device.answers(before + 2)[before:]
        assert {chunk.depot for chunk in got} == {"cellar", "attic"}
        device.close()


def test_the_topic_says_who_asks_and_nothing_in_the_request_does(site: Site, broker: Mosquitto) -> None:
    """A device could name another one in its request, and have that one flooded."""
    big_module(site)
    with depot_of(site, broker) as depot:
        victim, attacker = Device(broker.url, "victim"), Device(broker.url, "attacker")
        fields = {"v": 1, "token": "t", "path": "metadata/1.root.json", "offset": 0, "length": 100}
        attacker.post(cbor.encode({**fields, "device": "victim"}))
        attacker.post(cbor.encode(fields))
        attacker.answers(1)
        assert depot.counts.dropped == 1
        assert victim.chunks == []
        victim.close()
        attacker.close()


def test_an_expired_timestamp_is_named(site: Site, broker: Mosquitto) -> None:
    """The site's clock stands in 2030; a depot has its machine's."""
    said: list[str] = []
    site.now = datetime(2020, 1, 1, tzinfo=UTC)
    site.repository.publish()
    with depot_of(site, broker, say=said.append):
        device = Device(broker.url)
        device.until(lambda: len(said) >= 3)
        assert "timestamp 2 EXPIRED on 2020-01-15" in said[2]
        assert "waspi repo publish" in said[2]
        site.now = datetime.now(UTC)
        site.repository.publish()
        device.until(lambda: len(said) >= 4)
        assert "announcing timestamp 3, good until" in said[3]
        device.close()


def test_a_broker_that_comes_back_empty_is_served_again(site: Site, broker: Mosquitto) -> None:
    path, data = big_module(site)
    with depot_of(site, broker):
        broker.kill()
        broker.start()
        device = Device(broker.url)
        device.until(lambda: bool(announced(device, host_depot())), 30)
        assert device.fetch(path, len(data)) == data
        device.close()


def test_fifty_devices_at_once_and_none_is_starved(site: Site, broker: Mosquitto) -> None:
    path, data = big_module(site)
    with depot_of(site, broker) as depot:
        devices = [Device(broker.url, f"pi-{number}") for number in range(50)]
        small = data[:STEP]
        for device in devices:
            device.ask(path, accept=(ZLIB,))
        for device in devices:
            assert device.answers(1)[0].data == small
        assert depot.counts.served == 50
        for device in devices:
            device.close()


def test_a_greedy_device_is_told_to_come_again(site: Site, broker: Mosquitto) -> None:
    path, _ = big_module(site)
    with depot_of(site, broker, rate_bytes_s=256 * 1024):
        device = Device(broker.url)
        asked = service.MOST_EACH + 40
        for number in range(asked):
            device.ask(path, offset=number)
        device.until(lambda: [chunk for chunk in device.chunks if chunk.error])
        refused = [chunk.error for chunk in device.chunks if chunk.error]
        assert refused[0] is not None
        assert refused[0].kind is RefusalKind.BUSY
        assert refused[0].retry_ms > 0
        device.close()


def test_faults_are_named_at_the_start(site: Site, broker: Mosquitto, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot read the repository"):
        Depot(tmp_path / "nothing", BrokerAddress.parse(broker.url))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RepositoryError, match="is this an update repository"):
        Depot(tmp_path / "empty", BrokerAddress.parse(broker.url))
    broker.kill()
    with pytest.raises(UnreachableBrokerError), depot_of(site, broker):
        pass
