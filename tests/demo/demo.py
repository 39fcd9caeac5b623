#!/usr/bin/env python3
"""A tour in half a minute: a private broker, an agent, and the reference guest pushed to it over MQTT."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.simulators.mosquitto import Mosquitto
from waspi.errors import WaspiError
from waspi.fleet import Client
from waspi.model.result import Result

ROOT = Path(__file__).resolve().parents[2]
GUEST = ROOT / "build" / "guests" / "append-rust.wasm"
INPUT = b"The input string"
EXPECTED = b"The input string<---- This is your string"
DEVICE = "demo-pi"
TRACE = "[waspi] "
CONFIG = """\
[device]
id = "{device}"
state_dir = "{state}"
trace = true

[broker]
url = "{url}"

[modules.append]
path = "{guest}"
version = "1.0.0"
"""


def step(text: str) -> None:
    """Say what happens next."""
    print(f"\n\033[1m==> {text}\033[0m", flush=True)


def show(result: Result, took_ms: float) -> None:
    """Print a result with the guest's trace."""
    for line in result.log.decode("utf-8", "replace").splitlines():
        if not line.startswith(TRACE):
            print(f"    log           {line}")
            continue
        for name, _, value in (part.partition("=") for part in line.removeprefix(TRACE).split(", ")):
            shown = f"{int(value):#x}" if name.endswith("address") else value
            print(f"    trace         {name.replace('_', ' '):16}{shown}")
    usage = result.usage
    print(f"    state         {result.state}")
    if result.error is not None:
        print(f"    error         {result.error.fault}: {result.error.kind}: {result.error.message}")
    for output in result.outputs:
        print(f"    result        {output.decode('utf-8', 'replace')}")
    print(
        f"    usage         {usage.fuel} fuel, {usage.memory_bytes // 1024} KiB, {usage.run_us} us in the guest, "
        f"module {usage.module}; {took_ms:.1f} ms there and back"
    )


def push(client: Client, title: str, module: Path | str) -> Result:
    """Send one job and show what came back."""
    step(title)
    begin = time.perf_counter()
    result = client.run(DEVICE, module, INPUT, timeout=60)
    show(result, (time.perf_counter() - begin) * 1000)
    return result


def plain(broker: Mosquitto) -> bytes:
    """The plain way, with the MQTT client of everybody."""
    topic = f"waspi/v1/default/device/{DEVICE}/run/append"
    command = ["mosquitto_rr", "-V", "5", "-p", str(broker.port), "-q", "1", "-W", "20"]
    command += ["-t", topic, "-e", "reply/demo", "-m", INPUT.decode()]
    print("    $ " + " ".join(f"'{word}'" if " " in word else word for word in command))
    answer = subprocess.run(command, check=True, capture_output=True).stdout.rstrip(b"\n")
    print(f"    {answer.decode()}")
    return answer


def main() -> int:
    """Run the demo; 0 when every answer was the expected one."""
    folder = Path(tempfile.mkdtemp(prefix="waspi-demo-"))
    agent: subprocess.Popen[bytes] | None = None
    try:
        step("starting a private mosquitto on a free loopback port")
        with Mosquitto(folder / "broker") as broker:
            print(f"    {broker.url}")
            config = folder / "waspi.toml"
            config.write_text(CONFIG.format(device=DEVICE, state=folder / "state", url=broker.url, guest=GUEST))
            step("starting an agent: waspi agent --config waspi.toml")
            command = [sys.executable, "-m", "waspi", "agent", "--config", str(config)]
            agent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "agent")})
            with Client(broker.url) as client:
                while not (view := client.devices().get(DEVICE)) or not view.online:
                    if agent.poll() is not None:
                        print("demo: the agent has ended; see its messages above", file=sys.stderr)
                        return 1
                    time.sleep(0.05)
                print(f"    {DEVICE} is online")
                first = push(client, f"pushing {GUEST.name} ({GUEST.stat().st_size} bytes) and {INPUT!r}", GUEST)
                second = push(client, "the same once more: the compiled module is warm now", GUEST)
                third = push(client, "by the name that the device knows it by: append@1.0.0", "append@1.0.0")
            step("the plain way: raw input on one topic, raw output on another, no waspi needed")
            last = plain(broker)
            agent.send_signal(signal.SIGTERM)
            agent.wait(60)
            outputs = [*(output for each in (first, second, third) for output in each.outputs), last]
            good = outputs == [EXPECTED] * 4
            step("every answer is the expected one" if good else "an answer differs from the expected one")
            print(f"    {EXPECTED.decode()}" if good else f"    {outputs}")
            return 0 if good else 1
    except (WaspiError, OSError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if agent is not None and agent.poll() is None:
            agent.send_signal(signal.SIGTERM)
            agent.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
