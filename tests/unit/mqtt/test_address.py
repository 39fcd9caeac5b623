"""Broker URLs: one host, or the hosts of a cluster."""

from __future__ import annotations

import pytest

from waspi.errors import ConfigError
from waspi.mqtt.address import BrokerAddress


def test_one_host() -> None:
    address = BrokerAddress.parse("mqtts://pi-7:s%2Cme@broker.lan")
    assert (address.host, address.port, address.tls) == ("broker.lan", 8883, True)
    assert (address.username, address.password, address.others) == ("pi-7", "s,me", ())
    assert str(address) == "mqtts://broker.lan:8883"


def test_the_hosts_of_a_cluster_share_scheme_and_credentials() -> None:
    address = BrokerAddress.parse("mqtt://pi-7:sesame@one,two:1884, [::1]:1885")
    hosts = [(each.host, each.port) for each in (address, *address.others)]
    assert hosts == [("one", 1883), ("two", 1884), ("::1", 1885)]
    assert {(each.username, each.password) for each in (address, *address.others)} == {("pi-7", "sesame")}
    assert str(address) == "mqtt://one:1883"


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://",
        "http://h",
        "mqtt://h:0",
        "mqtt://h:x",
        "mqtt://h/t",
        "mqtt://one,",
        "mqtt://,two",
        "mqtt://one,two:0",
        "mqtt://u:p@one,u:p@two",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(ConfigError):
        BrokerAddress.parse(url)
    with pytest.raises(ConfigError) as caught:
        BrokerAddress.parse("mqtt://u:sesame@h:0")
    assert "sesame" not in str(caught.value)
