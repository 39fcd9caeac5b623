"""Every private name of paho that is relied on: a new paho that does without one of them fails here, by name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version
from unittest.mock import patch

import pytest
from paho.mqtt.client import Client

from tests.simulators.hostile_broker import CONNACK, HostileBroker
from tests.simulators.link_owner import LinkOwner
from waspi.mqtt.paho_client import PahoClient

RELIED_ON = ("_create_socket", "_get_proxy", "_mid_generate", "_sock_recv")


def test_paho_is_the_one_that_was_looked_at() -> None:
    assert version("paho-mqtt").startswith("2.2.")


def test_no_other_private_name_is_used() -> None:
    own = {name for name in vars(PahoClient) if name.startswith("_") and not name.startswith("__")}
    assert own == set(RELIED_ON)
    for name in RELIED_ON:
        theirs = inspect.signature(getattr(Client, name))
        assert theirs.parameters.keys() == inspect.signature(getattr(PahoClient, name)).parameters.keys()


@pytest.mark.parametrize("name", RELIED_ON)
def test_paho_still_calls_it(name: str) -> None:
    broker = HostileBroker(b"")
    called = []
    own = getattr(PahoClient, name)

    def spy(self: PahoClient, *args: int) -> object:
        called.append(sys._getframe(1).f_globals["__name__"])
        return own(self, *args)

    with patch.object(PahoClient, name, spy):
        owner = LinkOwner(broker.url)
        try:
            owner.link.start()
            owner.until(lambda: owner.link.online)
            owner.link.subscribe(["t"])
        finally:
            owner.close()
            broker.close()
    assert "paho.mqtt.client" in called


def test_paho_reads_what_the_stream_holds_and_writes_only_to_it() -> None:
    """``_create_socket``'s result is all that paho reads from and writes to."""
    broker = HostileBroker(b"\x90\x04\x00\x01\x00\x01", greeting=CONNACK)
    owner = LinkOwner(broker.url)
    try:
        owner.connect()
        owner.until(lambda: owner.subscribed)
        assert owner.subscribed == [None]
    finally:
        owner.close()
        broker.close()


def test_packet_identifiers_in_flight_are_passed_over() -> None:
    in_flight = {65_535, 1, 3}
    client = PahoClient("id", 1000, in_flight)
    for _ in range(65_530):
        client.next_packet_id()
    drawn = [client.next_packet_id() for _ in range(4)]
    assert drawn == [65_533, 65_534, 2, 4]


def test_a_connection_without_tls_loads_neither_openssl_nor_urllib_request() -> None:
    program = """
import sys, socket
from waspi.device import lean
lean.spare_modules()
from waspi.mqtt.connection import Connection
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import LinkSettings
server = socket.create_server(("127.0.0.1", 0))
address = BrokerAddress.parse(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
connection = Connection(LinkSettings(address, "id"), address, 1)
connection.open()
connection.read()
modules = {name: sys.modules.get(name) for name in ("ssl", "urllib.request")}
print([name for name, module in modules.items() if not isinstance(module, lean._Later | None)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
