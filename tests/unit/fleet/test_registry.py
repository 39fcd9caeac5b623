from __future__ import annotations

from waspi.fleet.registry import Registry
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import Reported, encode_reported


def presence(state: PresenceState, boot: str, since: int = 1_800_000_000) -> bytes:
    return encode_presence(Presence(state, boot, since))


def test_stale_will_does_not_end_a_newer_session() -> None:
    registry = Registry()
    assert registry.presence("pi-7", presence(PresenceState.ONLINE, "boot-2"))
    assert not registry.presence("pi-7", presence(PresenceState.OFFLINE, "boot-1"))
    assert registry.get("pi-7").online
    assert registry.presence("pi-7", presence(PresenceState.OFFLINE, "boot-2"))
    assert registry.get("pi-7").state == "offline"


def test_broken_messages_are_no_news() -> None:
    registry = Registry()
    for payload in (b"{", b"[]", b"\xff", b'{"state":"maybe"}', b"[" * 5000):
        assert not registry.presence("pi-7", payload)
        assert not registry.reported("pi-7", payload)
    assert registry.all() == {}


def test_cleared_retained_messages_take_the_device_out() -> None:
    registry = Registry()
    registry.presence("pi-7", presence(PresenceState.ONLINE, "boot-1"))
    registry.reported("pi-7", encode_reported(Reported("1", "e", "a", "boot-1", groups=("attic",))))
    assert registry.all()["pi-7"].groups == ("attic",)
    assert registry.presence("pi-7", b"")
    assert registry.reported("pi-7", b"")
    assert registry.all() == {}
