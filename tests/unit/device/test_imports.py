"""What an agent carries in its memory, seen in a real interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOOK = """
import json, sys
from waspi.device import lean
lean.spare_modules()
import waspi.device.agent, waspi.device.config
{then}
loaded = {{name for name, module in sys.modules.items() if not isinstance(module, lean._Later | None)}}
print(json.dumps(sorted(loaded)))
"""
NEVER = {"waspi._wasmer", "waspi.engine", "waspi.fleet", "waspi.cli", "typer", "rich", "asyncio", "cryptography", "tuf"}


def loaded(then: str = "") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOOK.format(then=then)], capture_output=True, check=True, text=True, cwd=ROOT
    )
    return set(json.loads(done.stdout))


def test_an_agent_on_plain_mqtt_carries_neither_openssl_nor_the_engine() -> None:
    names = loaded()
    assert not NEVER & names
    assert not {"ssl", "_ssl", "_hashlib", "http.client", "email", "urllib.request"} & names


def test_an_agent_with_tls_carries_openssl_then() -> None:
    names = loaded("import waspi.mqtt.tls; from waspi.mqtt.settings import Tls; waspi.mqtt.tls.make_context(Tls())")
    assert not NEVER & names
    assert {"ssl", "_ssl"} <= names
