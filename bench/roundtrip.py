"""Round trips through a real mosquitto: the agent against a raw paho echo, with the same client, in the same run."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulators.mosquitto import Mosquitto
from waspi.errors import BrokerError
from waspi.model.job import Job
from waspi.model.module import NamedModule
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.link import Link
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.settings import LinkSettings
from waspi.protocol.job_envelope import encode_job

ROOT = Path(__file__).resolve().parents[1]
ECHO = """
import socket, sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
client = Client(CallbackAPIVersion.VERSION2, "echo", protocol=MQTTProtocolVersion.MQTTv5)
client.max_inflight_messages_set(0)
def on_message(client, data, message):
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = message.properties.CorrelationData
    client.publish(message.properties.ResponseTopic, message.payload, 1, properties=properties)
client.on_message = on_message
client.on_socket_open = lambda c, d, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client.on_connect = lambda c, *_: c.subscribe("echo/job", 1)
client.on_subscribe = lambda c, *_: c.publish("echo/ready", b"1", 1, retain=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
"""
CONFIG = """\
[device]
id = "bench"
state_dir = "{state}"
log_level = "error"
[broker]
url = "{url}"
[journal]
sync = "{sync}"
[modules.append]
path = "{guest}"
"""


@dataclass
class Figures:
    """What one peer did."""

    p50_us: float
    p99_us: float
    per_second: float


class Requester:
    """Publishes requests and waits for their answers; the same for every peer."""

    def __init__(self, url: str) -> None:
        self.selector = selectors.DefaultSelector()
        settings = LinkSettings(BrokerAddress.parse(url), "requester", clean_start=True, session_expiry_s=0, window=64)
        self.link = Link(settings, self.selector, self, time.monotonic)
        self.answers = 0
        self.ready = False
        self.retained: set[str] = set()

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        """Listen to answers and to who is there."""
        self.link.subscribe(["reply/bench", "echo/ready", "waspi/v1/default/device/bench/presence"])

    def on_offline(self, reason: BrokerError, retry_in_s: float) -> None:
        """Give up: a bench with a broken link measures nothing."""
        raise reason

    def on_message(self, message: Incoming) -> None:
        """Count an answer."""
        self.link.acknowledge(message)
        if message.topic == "reply/bench":
            self.answers += 1
        else:
            self.retained.add(message.topic)

    def on_published(self, token: int, refused: BrokerError | None) -> None:
        """Nothing to do."""

    def on_subscribed(self, refused: BrokerError | None) -> None:
        """Ready to go."""
        self.ready = True

    def until(self, holds: Callable[[], object]) -> None:
        """Run the loop until something holds."""
        while not holds():
            for key, _ in self.selector.select(1):
                key.data()
            self.link.tick(time.monotonic())
            self.link.flush()

    def measure(self, topic: str, body: Callable[[int], bytes], runs: int, window: int) -> Figures:
        """Latency with one request at a time, then throughput with ``window`` of them."""
        number = 0

        def ask() -> None:
            nonlocal number
            number += 1
            correlation = number.to_bytes(4, "big")
            self.link.publish(Outgoing(topic, body(number), reply_to="reply/bench", correlation=correlation))

        took = []
        for turn in range(runs + 50):
            target = self.answers + 1
            begin = time.perf_counter()
            ask()
            self.link.flush()
            self.until(lambda target=target: self.answers >= target)
            if turn >= 50:
                took.append((time.perf_counter() - begin) * 1e6)
        total = runs * 4
        start = self.answers
        begin = time.perf_counter()
        sent = 0
        while self.answers - start < total:
            while sent < total and sent - (self.answers - start) < window and self.link.room > 0:
                ask()
                sent += 1
            self.link.flush()
            seen = self.answers
            self.until(lambda seen=seen: self.answers > seen)
        per_second = total / (time.perf_counter() - begin)
        took.sort()
        return Figures(statistics.median(took), took[int(len(took) * 0.99)], per_second)


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as it is needed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def measure(folder: Path, runs: int, window: int) -> dict[str, Figures]:
    """All peers, one after the other, on one broker."""
    figures = {}
    guest = ROOT / "build" / "guests" / "append-rust.wasm"
    with Mosquitto(folder / "broker") as broker:
        requester = Requester(broker.url)
        requester.link.start()
        requester.until(lambda: requester.ready)
        with running([sys.executable, "-c", ECHO, str(broker.port)]):
            requester.until(lambda: "echo/ready" in requester.retained)
            figures["paho echo"] = requester.measure("echo/job", lambda _: b"The input string", runs, window)
        for sync in ("off", "full"):
            config = folder / f"{sync}.toml"
            state = folder / f"state-{sync}"
            config.write_text(CONFIG.format(state=state, url=broker.url, sync=sync, guest=guest))
            requester.retained.clear()
            with running([sys.executable, "-m", "waspi", "agent", "--config", str(config)]):
                topic = "waspi/v1/default/device/bench/presence"
                requester.until(lambda topic=topic: topic in requester.retained)

                def body(number: int, sync: str = sync) -> bytes:
                    job = Job(f"job-{sync}-{number}", NamedModule("append"), (b"The input string",))
                    return encode_job(job)

                name = f"waspi, journal {sync}"
                figures[name] = requester.measure("waspi/v1/default/device/bench/job", body, runs, window)
        requester.link.close()
    return figures


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where the journal lies; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waspi-bench-", dir=arguments.folder) as folder:
        figures = measure(Path(folder), arguments.runs, arguments.window)
    echo = figures["paho echo"]
    for name, each in figures.items():
        print(
            f"{name:22} p50 {each.p50_us:7.0f} us (echo {each.p50_us - echo.p50_us:+7.0f})  p99 {each.p99_us:7.0f} us"
            f"  {each.per_second:7.0f}/s ({each.per_second / echo.per_second:.2f} of echo)"
        )
    print(json.dumps({name: vars(each) for name, each in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
