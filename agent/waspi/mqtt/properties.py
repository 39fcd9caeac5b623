"""paho's properties with their tables built once.

paho 2.2 builds the tables of all properties in each ``Properties`` object and compares names with their spaces taken
out, one by one: 243 string replacements and a quarter of the agent's CPU time for one job there and back. The same
tables, made once, give the same bytes; ``tests/unit/mqtt/test_properties.py`` compares them with paho's own.
"""

from __future__ import annotations

from typing import Any, Final

from paho.mqtt import _packet
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

_TABLES: Final = Properties(PacketTypes.PUBLISH)
_COMPRESSED: Final[dict[str, str]] = {name: name.replace(" ", "") for name in _TABLES.names}
_IDENTIFIERS: Final[dict[str, int]] = {_COMPRESSED[name]: number for name, number in _TABLES.names.items()}
_NAMES: Final[dict[int, str]] = {number: name for name, number in _TABLES.names.items()}
_MULTIPLE: Final = frozenset({"SubscriptionIdentifier", "UserProperty"})
_UNBOUNDED: Final = frozenset(
    {"MessageExpiryInterval", "ContentType", "ResponseTopic", "CorrelationData", "UserProperty", "ReasonString"}
)
"""Properties whose values paho does not look at when they are set."""


class QuickProperties(Properties):
    """Takes the place of paho's class in the packets of the hot path."""

    types = _TABLES.types
    names = _TABLES.names
    properties = _TABLES.properties

    def __init__(self, packetType: int) -> None:  # noqa: N803 - paho's name
        self.__dict__["packetType"] = packetType

    def __setattr__(self, name: str, value: object) -> None:
        name = _COMPRESSED.get(name, name)
        if name not in _UNBOUNDED or self.packetType not in self.properties[_IDENTIFIERS[name]][1]:
            super().__setattr__(name, value)  # type: ignore[no-untyped-call]  # paho's checks and paho's errors
        elif name in _MULTIPLE:
            values = value if isinstance(value, list) else [value]
            self.__dict__[name] = self.__dict__.get(name, []) + values
        else:
            self.__dict__[name] = value

    def allowsMultiple(self, compressedName: str) -> bool:  # noqa: N802, N803, D102 - paho's
        return compressedName in _MULTIPLE

    def getIdentFromName(self, compressedName: str) -> int:  # noqa: N802, N803, D102 - paho's
        return _IDENTIFIERS.get(compressedName, -1)

    def getNameFromIdent(self, identifier: int) -> str | None:  # noqa: N802, D102 - paho's
        return _NAMES.get(identifier)

    def isEmpty(self) -> bool:  # noqa: N802, D102 - paho's
        return len(self.__dict__) == 1

    def clear(self) -> None:  # noqa: D102 - paho's
        packet_type = self.packetType
        self.__dict__.clear()
        self.__dict__["packetType"] = packet_type

    def pack(self) -> bytes:  # noqa: D102 - paho's
        parts = []
        for name, value in self.__dict__.items():
            if name != "packetType":
                identifier = _IDENTIFIERS[name]
                kind = self.properties[identifier][0]
                values: list[Any] = value if name in _MULTIPLE else [value]
                parts += [self.writeProperty(identifier, kind, each) for each in values]  # type: ignore[no-untyped-call]
        buffer = b"".join(parts)
        return bytes(VariableByteIntegers.encode(len(buffer))) + buffer


def use_quick_properties() -> None:
    """Have paho decode packets into :class:`QuickProperties`."""
    setattr(_packet, "Properties", QuickProperties)  # noqa: B010 - a class in place of its base class
