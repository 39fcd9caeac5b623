"""The states of a fleet: asked of the devices themselves, whatever the broker has kept of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.simulators.device import SimulatedDevice
from tests.simulators.link_owner import LinkOwner
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet import Client
from waspi.mqtt.message import Outgoing
from waspi.protocol.presence import Presence, PresenceState, encode_presence
from waspi.protocol.reported import Reported, encode_reported
from waspi.protocol.topics import Topics

TOPICS = Topics("default")


def keep(broker: Mosquitto, device: str, state: PresenceState, *, reported: bool = True) -> None:
    """Have the broker keep what a device said that is not there."""
    owner = LinkOwner(broker.url, "keeper")
    owner.connect()
    said = Presence(state, "boot-0", 1_800_000_000)
    owner.link.publish(Outgoing(TOPICS.presence(device), encode_presence(said), retain=True))
    if reported:
        report = Reported("0.0.9", "e", "a", "boot-0", groups=("attic",))
        owner.link.publish(Outgoing(TOPICS.reported(device), encode_reported(report), retain=True))
    owner.until(lambda: len(owner.published) == 1 + reported)
    owner.close()


def test_devices_answer_for_themselves_where_the_broker_tells_nothing(tmp_path: Path) -> None:
    """As a broker does that gives no retained message to a wildcard."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite #\n\nuser ops\ntopic readwrite reply/#\ntopic write waspi/#\n")
    extra = f"user root\nallow_anonymous true\nacl_file {acl}\n"
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker", extra=extra))
        for number in range(5):
            stack.enter_context(SimulatedDevice(broker.url, f"pi-{number}", groups=("kitchen",)))
        found = stack.enter_context(Client(broker.url, username="ops")).devices()
    assert sorted(found) == [f"pi-{number}" for number in range(5)]
    assert all(view.online and view.groups == ("kitchen",) for view in found.values())
    assert not found.silent


def test_what_the_broker_kept_of_devices_that_are_away(broker: Mosquitto) -> None:
    keep(broker, "pi-away", PresenceState.OFFLINE)
    keep(broker, "pi-never", PresenceState.OFFLINE, reported=False)
    with SimulatedDevice(broker.url, "pi-1"), Client(broker.url) as fleet:
        found = fleet.devices()
    assert (found["pi-away"].state, found["pi-away"].groups) == ("offline", ("attic",))
    assert found["pi-never"].reported is None
    assert found["pi-1"].online
    assert not found.silent


def test_who_should_be_there_and_does_not_answer_is_counted(broker: Mosquitto) -> None:
    keep(broker, "pi-gone", PresenceState.ONLINE)  # its will never came
    with SimulatedDevice(broker.url, "pi-1") as old, SimulatedDevice(broker.url, "pi-2"), Client(broker.url) as fleet:
        old.mute = True
        found = fleet.devices()
        assert found.silent == {"pi-gone", "pi-1"}
        assert found["pi-1"].reported is not None  # as kept
        assert {call.reply_to for call in old.state_calls} == {f"reply/{fleet.id}/"}


def test_a_look_that_is_not_old_costs_the_fleet_nothing(broker: Mosquitto) -> None:
    with SimulatedDevice(broker.url, "pi-1") as device, Client(broker.url) as fleet:
        fleet.devices()
        calls = len(device.state_calls)
        with SimulatedDevice(broker.url, "pi-2", groups=("attic",)):
            fleet.run("pi-2", "append", b"x", timeout=60)
            again = fleet.devices()
            assert again["pi-2"].groups == ("attic",)  # it was told as it came
        assert len(device.state_calls) == calls
        assert set(fleet.devices(max_age=0.0)) == {"pi-1", "pi-2"}
        assert len(device.state_calls) > calls


@pytest.mark.parametrize("kept", [PresenceState.ONLINE, PresenceState.OFFLINE])
def test_a_stale_word_is_put_right_by_the_device(broker: Mosquitto, kept: PresenceState) -> None:
    with SimulatedDevice(broker.url, "pi-1", groups=("kitchen",)), Client(broker.url) as fleet:
        keep(broker, "pi-1", kept)
        view = fleet.devices()["pi-1"]
    assert (view.online, view.groups) == (True, ("kitchen",))
