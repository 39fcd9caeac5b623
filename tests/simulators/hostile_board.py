"""A board in the hands of somebody else: it speaks the protocol, and says whatever may hurt who reads it."""

from __future__ import annotations

import json
from typing import Final

from tests.simulators.device import SimulatedDevice
from waspi.errors import GuestError
from waspi.model.job import Job
from waspi.mqtt.message import Outgoing
from waspi.protocol.topics import Topics

PLANTED: Final = "PLANTED"
COMMANDS: Final = "\x1b]0;owned\x07\x1b[5m\x9b5m\u202e\u2066\u200f\r\x08"
"""OSC, CSI, C1's CSI, marks of direction, and two that overwrite what stands before them."""
EVIL: Final = f"{COMMANDS}{PLANTED}"
ODD_REPORTS: Final = {
    "year-billion": {"since": 31_556_952_000_000_000},
    "negative": {"since": -1},
    "fraction": {"since": 1e300},
    "text": {"since": "now"},
    "list": [],
}
"""Presences that no reader may stumble over, by the id of the device that says them."""


def failing(job: Job) -> GuestError:
    """Fail with a message and a log that command the terminal."""
    del job
    error = GuestError(EVIL)
    error.log = EVIL.encode()
    return error


def reported(**changes: object) -> bytes:
    """A reported state that is well-formed, and whose every text commands the terminal."""
    return json.dumps(
        {
            "version": EVIL,
            "engine": EVIL,
            "arch": EVIL,
            "boot": "boot-1",
            "sandbox": {EVIL: f"off: {EVIL}", "landlock": "off"},
            "modules": [
                {"name": "stats", "version": "1.0.0", "sha256": "ab" * 32, "state": "FAILED", "reason": EVIL},
            ],
            "limits": {},
            "groups": ["kitchen"],
            "labels": {EVIL: EVIL},
            "counters": {EVIL: 2**63 - 1},
            "last_job": {"id": "j-1", "state": "FAILED", "at": 253_402_300_799},
            "updates": EVIL,
            **changes,
        }
    ).encode()


class HostileBoard(SimulatedDevice):
    """``pi-7`` of group ``kitchen``; it speaks for devices that are not there as well, as a broker without access
    list lets it."""

    def __init__(self, url: str, device: str = "pi-7") -> None:
        super().__init__(url, device, groups=("kitchen",), behaviour=failing)

    def state(self) -> tuple[bytes, bytes]:
        presence = {"state": "online", "boot": "boot-1", "since": 253_402_300_799, "degraded": EVIL}
        return json.dumps(presence).encode(), reported()

    def announce(self) -> None:
        """Say for devices that are not there what may hurt."""
        topics = Topics("default")
        for name, odd in ODD_REPORTS.items():
            well = {"state": "online", "boot": "boot-1"}
            said = json.dumps({**well, **odd} if isinstance(odd, dict) else odd).encode()
            self.say(topics.presence(f"odd-{name}"), said)
            self.say(topics.reported(f"odd-{name}"), reported(last_job={"id": "j", "state": "FAILED", "at": 10**18}))

    def say(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish, in order, from any thread."""
        self._loop.call(lambda: self._post(Outgoing(topic, payload, retain=retain)))
