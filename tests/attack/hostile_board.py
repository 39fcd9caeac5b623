"""A board says of itself what may hurt an operator's terminal or tools."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.attack.board import Finding
from tests.integration.cli.command import waspi
from tests.simulators.hostile_board import EVIL, PLANTED, reported
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from tests.attack.board import Board

TOPICS = Topics("default")
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def attack(board: Board) -> Finding:
    """``pi-2`` may write its own presence and report, and fills them with terminal commands and odd times."""
    tls = board.tls("operators/ops")
    options = ("--ca", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key))
    at = ("--broker", f"mqtts://127.0.0.1:{board.operator_port}", *options)
    failed = []
    shown = 0
    with board.member("devices/pi-2") as hostile:
        for since in (1, 10**17):
            said = {"state": "online", "boot": "b", "since": since, "degraded": EVIL}
            hostile.client.publish(TOPICS.presence("pi-2"), json.dumps(said), 1, retain=True).wait_for_publish(60)
            hostile.client.publish(TOPICS.reported("pi-2"), reported(), 1, retain=True).wait_for_publish(60)
            for command in (("fleet",), ("fleet", "--json"), ("watch", "--once"), ("watch", "--once", "--json")):
                done = waspi(*command, *at, home=board.folder)
                if done.code or "pi-1" not in done.text or COMMANDS.search(done.text + done.err):
                    failed.append(f"{' '.join(command)}: {done.code} {done.err!r}")
                shown += PLANTED in done.text
    return Finding(
        not failed and shown > 0,
        "bounds where a message is decoded, and one function that makes control characters visible",
        failed[0] if failed else f"8 commands went on, {shown} of them showed its words",
    )
