from __future__ import annotations

import json

import pytest

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


BROKEN = (b"{", b"[]", b"\xff", b'{"state":"maybe"}', b"[" * 5000)


@pytest.mark.parametrize("payload", BROKEN)
def test_a_broken_message_marks_its_device_and_keeps_what_was_known(payload: bytes) -> None:
    registry = Registry()
    said = encode_reported(Reported("1", "e", "a", "boot-1", groups=("attic",)))
    registry.reported("pi-7", said)
    assert registry.reported("pi-7", payload)
    assert not registry.reported("pi-7", payload)  # no news
    assert registry.presence("pi-7", payload)
    view = registry.get("pi-7")
    assert view.groups == ("attic",)
    assert "reported state" in view.unreadable
    assert "presence" in view.unreadable
    assert not registry.get("pi-8").unreadable
    assert registry.reported("pi-7", said)
    assert "reported state" not in registry.get("pi-7").unreadable
    assert registry.presence("pi-7", b"")
    assert not registry.get("pi-7").unreadable


@pytest.mark.parametrize("since", [-1, 2**63, 31_556_952_000_000_000, 1e300, True, "now"])
def test_a_time_that_no_calendar_has_is_a_mark_not_an_error(since: object) -> None:
    registry = Registry()
    registry.presence("pi-7", json.dumps({"state": "online", "boot": "b", "since": since}).encode())
    assert "'since'" in registry.all()["pi-7"].unreadable


def test_cleared_retained_messages_take_the_device_out() -> None:
    registry = Registry()
    registry.presence("pi-7", presence(PresenceState.ONLINE, "boot-1"))
    registry.reported("pi-7", encode_reported(Reported("1", "e", "a", "boot-1", groups=("attic",))))
    assert registry.all()["pi-7"].groups == ("attic",)
    assert registry.presence("pi-7", b"")
    assert registry.reported("pi-7", b"")
    assert registry.all() == {}
