"""What CONNACK grants is compared with what was asked for, and told once."""

from __future__ import annotations

import pytest

from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.contract import differences
from waspi.mqtt.message import ServerLimits
from waspi.mqtt.settings import LinkSettings, Will

ASKED = LinkSettings(BrokerAddress("broker", 1883), "id", session_expiry_s=604_800, will=Will("t", b""))


@pytest.mark.parametrize(
    "granted",
    [
        ServerLimits(),
        ServerLimits(session_expiry_s=604_800, receive_maximum=20, max_packet_bytes=1_000_000, max_qos=1),
        ServerLimits(session_expiry_s=700_000, wildcards=False, shared=False),
    ],
)
def test_what_was_asked_for_is_no_difference(granted: ServerLimits) -> None:
    assert differences(ASKED, granted) == ()


@pytest.mark.parametrize(
    ("granted", "said"),
    [
        (ServerLimits(session_expiry_s=86_400), "86400 s, not for the 604800 s"),
        (ServerLimits(session_expiry_s=0), "0 s, not for"),
        (ServerLimits(receive_maximum=1), "1 messages at a time"),
        (ServerLimits(max_packet_bytes=4096), "4096 bytes"),
        (ServerLimits(max_qos=0), "QoS 0 only"),
        (ServerLimits(retain=False), "retains nothing"),
    ],
)
def test_what_is_less_is_told_with_what_follows(granted: ServerLimits, said: str) -> None:
    (told,) = differences(ASKED, granted)
    assert said in told
    assert ": " in told
