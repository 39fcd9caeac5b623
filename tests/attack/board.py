"""A board under attack: a real agent, a real broker with its access lists, an operator who goes on working."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from paho.mqtt.client import Client as Mqtt
from paho.mqtt.client import MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration.cli.command import waspi
from tests.simulators.agent_process import AgentProcess
from tests.simulators.mosquitto import free_port, wait_until_listening
from waspi import _wasmer
from waspi.errors import WaspiError
from waspi.fleet import Client
from waspi.fleet.key_file import KeyFile
from waspi.model.state import JobState
from waspi.mqtt.settings import Tls

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from waspi.model.result import Result

DEVICE = "pi-1"
PATIENCE_S = 60.0
"""Seconds after which an attack has made the agent deaf: a bound on hanging, not a measurement."""
_PAUSE_S = 0.1
ECHO = _wasmer.wat2wasm(b"""(module (memory (export "memory") 4)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i32) (local.get 1)))""")
"""A module that gives back its input."""


@dataclass
class Finding:
    """What came of an attack."""

    held: bool
    """Whether the attacker got nothing that it should not have."""
    stopped_by: str
    """What stops it, in a few words for the table."""
    seen: str = ""
    """What was observed, in a few words; the fault, when it did not hold."""


@dataclass
class Pulse:
    """An operator whose jobs go on during the attack."""

    answered: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)


class Member:
    """A member with its own certificate and a mind of its own: whatever MQTT client it likes. A context manager."""

    def __init__(self, port: int, tls: Tls) -> None:
        self.client = Mqtt(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self.client.tls_set(str(tls.ca), str(tls.certificate), str(tls.key))
        self.client.on_message = self._on_message
        self.heard: list[tuple[str, bytes]] = []
        """Topic and payload of each message, in order."""
        self._port = port
        self._told = threading.Condition()

    def __enter__(self) -> Self:
        self.client.connect("127.0.0.1", self._port)
        self.client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Say it; whether anybody may hear it is the broker's to decide."""
        self.client.publish(topic, payload, qos, retain)

    def subscribe(self, topic: str) -> None:
        """Ask to hear it."""
        self.client.subscribe(topic, 1)

    def hears(self, topic: str, within_s: float) -> bool:
        """Whether a message on ``topic`` came, or comes in time."""
        with self._told:
            return self._told.wait_for(lambda: any(topic == each for each, _ in self.heard), within_s)

    def _on_message(self, _client: Mqtt, _data: object, message: MQTTMessage) -> None:
        with self._told:
            self.heard.append((message.topic, bytes(message.payload)))
            self._told.notify_all()


class CapturedAgent(AgentProcess):
    """An agent whose workers and compilers can be taken over (:mod:`tests.attack.captured`)."""

    program = ("tests.attack.captured_agent",)


class Board:
    """Broker, agent ``pi-1`` and operator ``ops``; ``pi-2`` has a certificate and no agent: the hostile member.

    Jobs have to be signed. Two keys are trusted, ``ops`` and ``guest``; what the agent's configuration says besides is
    in ``rest``.
    """

    def __init__(self, folder: Path, *, rest: str = "[queue]\nworkers = 2\n") -> None:
        self.folder = folder
        self.broker_folder = folder / "broker"
        self.device_port, self.operator_port = free_port(), free_port()
        made = waspi(
            *("broker", "config", "--dir", str(self.broker_folder), "--host", "127.0.0.1", "--bind", "127.0.0.1"),
            *("--run-as", "root", "--port", str(self.device_port), "--operator-port", str(self.operator_port)),
            *("--devices", "pi-1,pi-2", "--operators", "ops,other", "--group", "attic", "--json"),
            home=folder,
        )
        if made.code:
            raise RuntimeError(made.err)
        self.keys = {name: KeyFile.create(folder / "keys", name) for name in ("ops", "guest")}
        tls = self.tls(f"devices/{DEVICE}")
        self.agent = CapturedAgent(
            folder / DEVICE,
            f"mqtts://127.0.0.1:{self.device_port}",
            DEVICE,
            device='groups = ["attic"]',
            broker="will_delay_s = 0\n[broker.tls]\n"
            f'ca = "{tls.ca}"\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n',
            rest='[policy]\njobs = "signed"\n' + "".join(key.toml() for key in self.keys.values()) + rest,
        )
        self._broker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.broker_folder / "mosquitto.log").open("ab") as log:
            self._broker = subprocess.Popen(
                ["mosquitto", "-c", str(self.broker_folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        for port in (self.device_port, self.operator_port):
            wait_until_listening(self._broker, port, (self.broker_folder / "mosquitto.log").read_text)
        self.agent.start()
        give_up = time.monotonic() + PATIENCE_S
        with self.operator() as fleet:
            while DEVICE not in (known := fleet.devices()) or not known[DEVICE].online:
                if not self.agent.alive or time.monotonic() > give_up:
                    raise RuntimeError(f"the agent did not come up: {self.agent.log}")
            self.ask(fleet, b"is it warm?")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.agent.kill()
        if self._broker is not None:
            self._broker.terminate()
            self._broker.wait(PATIENCE_S)

    def tls(self, member: str) -> Tls:
        """The certificate of a member: ``devices/pi-2``, ``operators/ops``."""
        at = self.broker_folder / member
        return Tls(self.broker_folder / "ca.crt", at.with_suffix(".crt"), at.with_suffix(".key"))

    def operator(self, key: str = "ops", member: str = "ops") -> Client:
        """A client of the operator ``member`` who signs with ``key``."""
        return Client(
            f"mqtts://127.0.0.1:{self.operator_port}", tls=self.tls(f"operators/{member}"), signing_key=self.keys[key]
        )

    def member(self, name: str) -> Member:
        """A member of the fleet who says what it likes and hears what it may: ``devices/pi-2``, ``operators/other``."""
        return Member(self.device_port if name.startswith("devices/") else self.operator_port, self.tls(name))

    def ask(self, fleet: Client, data: bytes, module: bytes = ECHO, **options: object) -> Result:
        """Run a job; its result, whatever its state."""
        return fleet.run(DEVICE, module, data, timeout=PATIENCE_S, **options)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def pulse(self) -> Iterator[Pulse]:
        """While it lasts, ``ops`` sends one small job after the other and waits for each answer."""
        pulse, over = Pulse(), threading.Event()

        def beat() -> None:
            with self.operator() as fleet:
                while not over.is_set() or not pulse.answered:
                    began = time.monotonic()
                    try:
                        result = self.ask(fleet, b"beat %d" % pulse.answered)
                    except WaspiError as error:
                        pulse.failures.append(error.message)
                        return
                    pulse.slowest_s = max(pulse.slowest_s, time.monotonic() - began)
                    if result.state is not JobState.SUCCEEDED:
                        pulse.failures.append(str(result.error))
                    pulse.answered += 1
                    over.wait(_PAUSE_S)

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield pulse
        finally:
            over.set()
            thread.join()

    @property
    def agent_memory_mib(self) -> float:
        """Resident memory of the agent's own process."""
        for line in open(f"/proc/{self.agent.pid}/status", encoding="ascii"):  # noqa: PTH123, SIM115
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0
