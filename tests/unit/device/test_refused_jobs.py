"""Jobs that never come into the journal are counted all the same, in reported state."""

from __future__ import annotations

from pathlib import Path

from tests.simulators.virtual_device import DEVICE, VirtualDevice
from waspi.mqtt.message import Outgoing
from waspi.protocol.reported import decode_reported
from waspi.protocol.topics import Topics


def test_refusals_are_counted_in_reported_state(tmp_path: Path) -> None:
    told: list[Outgoing] = []
    topics = Topics("default")
    device = VirtualDevice(tmp_path, told.append)
    try:
        device.link.connect()
        for _ in range(2):
            device.broker.deliver(
                topics.device_job(DEVICE), b"no job", reply_to="reply/me", correlation=None, retain=False
            )
        for _ in range(200):
            if device.link.carry_down() | device.link.carry_up() | device.link.carry_puback():
                device.step()
            else:
                device.time.advance(min(device.idle_for() + 0.001, 30.0))
                device.turn()
        reported = [each for each in told if each.topic == topics.reported(DEVICE)]
        counters = decode_reported(reported[-1].payload).counters
        assert (counters["rejected"], counters["received"]) == (2, 0)
    finally:
        device.crash()
