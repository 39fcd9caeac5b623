"""The quick tables say what paho's say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MQTTException, Properties

from waspi.mqtt.properties import QuickProperties

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
PUBLISH = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "ContentType": TEXT,
        "ResponseTopic": TEXT,
        "CorrelationData": st.binary(max_size=40),
        "TopicAlias": st.integers(1, 65_535),
        "SubscriptionIdentifier": st.integers(1, 268_435_455),
        "UserProperty": st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
    },
)


def filled(kind: type[Properties], values: dict[str, object], packet_type: int = PacketTypes.PUBLISH) -> Properties:
    properties = kind(packet_type)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@given(PUBLISH)
def test_both_read_what_the_other_wrote(values: dict[str, object]) -> None:
    quick = filled(QuickProperties, values)
    slow = filled(Properties, values)
    read_by_quick, length = QuickProperties(PacketTypes.PUBLISH).unpack(slow.pack())
    read_by_slow, _ = Properties(PacketTypes.PUBLISH).unpack(quick.pack())
    assert length == len(slow.pack()) == len(quick.pack())
    assert read_by_quick.json() == read_by_slow.json() == slow.json() == quick.json()
    assert quick.isEmpty() is slow.isEmpty() is (not values)


@given(st.binary(max_size=60))
def test_both_refuse_the_same_bytes(data: bytes) -> None:
    outcomes = []
    for kind in (QuickProperties, Properties):
        try:
            properties, length = kind(PacketTypes.PUBLISH).unpack(data)
            outcomes.append((properties.json(), length))
        except Exception as error:  # noqa: BLE001 - whatever paho raises for broken bytes, both have to
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("packet_type", "name", "value"),
    [
        (PacketTypes.PUBLISH, "ReceiveMaximum", 1),
        (PacketTypes.PUBACK, "ResponseTopic", "x"),
        (PacketTypes.PUBLISH, "TopicAlias", 0),
        (PacketTypes.PUBLISH, "NoSuchProperty", 1),
    ],
)
def test_both_refuse_what_does_not_apply(packet_type: int, name: str, value: object) -> None:
    for kind in (QuickProperties, Properties):
        with pytest.raises(MQTTException):
            setattr(kind(packet_type), name, value)


def test_user_properties_add_up() -> None:
    for kind in (QuickProperties, Properties):
        properties = kind(PacketTypes.PUBLISH)
        properties.UserProperty = ("a", "1")
        properties.UserProperty = [("b", "2")]
        assert properties.UserProperty == [("a", "1"), ("b", "2")]
