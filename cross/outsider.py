"""Somebody outside the board, who knows it only over MQTT: sends jobs and remembers all that is said.

Written against the protocol's description with paho and cbor2 alone; nothing of waspi is imported, so that the board is
not tested with its own ideas.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cross.failure import Failure


@dataclass(frozen=True)
class Heard:
    """A message: its topic, its decoded payload, and when it came (monotonic seconds)."""

    topic: str
    payload: Any
    at: float
    size: int
    """Bytes of the payload as it came."""


class Outsider:
    """One operator of one device. Thread-safe."""

    def __init__(self, port: int, fleet: str, device: str, username: str, password: str) -> None:
        self._root = f"waspi/v1/{fleet}"
        self._device = device
        self._heard: list[Heard] = []
        self._news = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="outsider", protocol=paho.MQTTv5)
        self._client.username_pw_set(username, password)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("waspi/v1/#", qos=1)
        self._client.reconnect_delay_set(1, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def submit(self, job: str, module: bytes | str, data: bytes, **more: object) -> None:
        """Send a job to the device's topic; ``module`` is its bytes, or the name of one that the device has."""
        what = {"name": module} if isinstance(module, str) else {"inline": module}
        envelope = {"v": 1, "id": job, "module": what, "input": data, **more}
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "application/cbor"
        topic = f"{self._root}/device/{self._device}/job"
        self._client.publish(topic, cbor2.dumps(envelope), qos=1, properties=properties).wait_for_publish(30)

    def presence(self, state: str, *, since: float, timeout: float) -> float:
        """Wait until the device is ``online`` or ``offline``, said after ``since``; when it was said."""
        topic = f"{self._root}/device/{self._device}/presence"
        what = f"presence {state}"
        return self._wait(what, timeout, lambda m: m.topic == topic and m.at > since and m.payload["state"] == state).at

    def reported(self, *, timeout: float) -> dict[str, Any]:
        """The newest reported state."""
        topic = f"{self._root}/device/{self._device}/reported"
        self._wait("reported state", timeout, lambda m: m.topic == topic)
        with self._news:
            found: dict[str, Any] = [m.payload for m in self._heard if m.topic == topic][-1]
        return found

    def module_state(self, name: str, version: str, states: set[str], *, since: float, timeout: float) -> str:
        """Wait until the device reports, after ``since``, a release in one of ``states``; in which."""
        topic = f"{self._root}/device/{self._device}/reported"
        label = f"{name}@{version}"

        def state(message: Heard) -> str:
            modules = message.payload["modules"] if message.topic == topic and message.at > since else ()
            return next((str(each["state"]) for each in modules if f"{each['name']}@{each['version']}" == label), "")

        return state(self._wait(f"{label} {'/'.join(sorted(states))}", timeout, lambda m: state(m) in states))

    def chunks(self, least: int, *, since: float, timeout: float) -> int:
        """Wait until depots have sent the device ``least`` bytes after ``since``; how many they were."""
        prefix = f"{self._root}/device/{self._device}/chunk/"
        came = 0

        def enough(message: Heard) -> bool:
            nonlocal came
            came += message.size if message.topic.startswith(prefix) and message.at > since else 0
            return came >= least

        self._wait(f"{least} bytes of an update", timeout, enough)
        return came

    def announcement(self, fleet: str, *, since: float, timeout: float) -> None:
        """Wait until a depot of ``fleet`` says that it has a repository."""
        prefix = f"waspi/v1/{fleet}/depot/"
        self._wait("announcement", timeout, lambda m: m.topic.startswith(prefix) and m.payload and m.at > since)

    def result(self, job: str, *, timeout: float) -> dict[str, Any]:
        """The result of a job."""
        topic = self._result_topic(job)
        found: dict[str, Any] = self._wait(f"result of {job}", timeout, lambda m: m.topic == topic).payload
        return found

    def results(self, job: str) -> list[dict[str, Any]]:
        """Every result of a job so far: more than one if an acknowledgement was lost, and then all the same."""
        topic = self._result_topic(job)
        with self._news:
            return [message.payload for message in self._heard if message.topic == topic]

    def status(self, job: str, state: str, *, timeout: float) -> None:
        """Wait for a state on the job's status topic."""
        topic = f"{self._root}/device/{self._device}/status/{job}"
        self._wait(f"{job} {state}", timeout, lambda m: m.topic == topic and m.payload.get("state") == state)

    def _result_topic(self, job: str) -> str:
        return f"{self._root}/device/{self._device}/result/{job}"

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        at = time.monotonic()
        payload: Any = bytes(message.payload)
        try:
            payload = json.loads(payload)
        except ValueError:
            with contextlib.suppress(cbor2.CBORDecodeError):
                payload = cbor2.load(io.BytesIO(payload))
        with self._news:
            self._heard.append(Heard(message.topic, payload, at, len(message.payload)))
            self._news.notify_all()

    def _wait(self, what: str, timeout: float, wanted: Callable[[Heard], bool]) -> Heard:
        deadline = time.monotonic() + timeout
        seen = 0
        with self._news:
            while True:
                for message in self._heard[seen:]:
                    if wanted(message):
                        return message
                seen = len(self._heard)
                left = deadline - time.monotonic()
                if left <= 0:
                    last = ", ".join(f"{m.topic} {str(m.payload)[:120]}" for m in self._heard[-4:])
                    raise Failure(f"no {what} in {timeout:.0f} s; the last heard: {last or 'nothing'}")
                self._news.wait(left)
